"""Which step needs which, and an order that respects it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def order_steps(needs: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """The steps, each after what it needs, otherwise as listed; those in or behind a cycle are left out."""
    done: dict[str, None] = {}
    waiting = list(needs)
    while True:
        ready = next((name for name in waiting if all(need in done for need in needs[name])), None)
        if ready is None:
            return tuple(done)
        done[ready] = None
        waiting.remove(ready)


def find_cycle(needs: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """One cycle as `a, b, a`, from its first listed step; empty where there is none."""
    ordered = set(order_steps(needs))
    stuck = {name: [need for need in needs[name] if need not in ordered] for name in needs if name not in ordered}
    if not stuck:
        return ()
    path = [next(iter(stuck))]
    while path.count(path[-1]) == 1:
        path.append(stuck[path[-1]][0])
    cycle = path[path.index(path[-1]) : -1]
    first = min(range(len(cycle)), key=lambda index: list(needs).index(cycle[index]))
    return (*cycle[first:], *cycle[:first], cycle[first])
