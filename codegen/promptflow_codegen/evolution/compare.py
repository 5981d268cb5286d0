"""Two bundles: the flows that they have, and what became of each."""

from __future__ import annotations

from collections.abc import Iterator

from promptflow_codegen.bundle import Bundle
from promptflow_codegen.evolution.behaviour import behaviour_changes
from promptflow_codegen.evolution.change import Change, Finder
from promptflow_codegen.evolution.messages import Messages, message_changes
from promptflow_codegen.evolution.promises import promise_changes
from promptflow_codegen.plan import FlowPlan


def compare_bundles(old: Bundle, new: Bundle) -> tuple[Change, ...]:
    """What those who call the flows of `old` would notice once `new` is served; sorted, the worst of each flow first.

    Equal APIs that do the same give an empty tuple, however their files are written.
    """
    before = {(plan.name, plan.version): plan for plan in old.plans}
    after = {(plan.name, plan.version): plan for plan in new.plans}
    messages = Messages.of(old.descriptors), Messages.of(new.descriptors)
    found: list[Change] = []
    for key in sorted(before.keys() | after.keys()):
        find = Finder(*key)
        match before.get(key), after.get(key):
            case None, FlowPlan() as added:
                found += _added(find, added, before)
            case FlowPlan(), None:
                found.append(find.breaks_wire("", f"flow `{find.flow}` v{find.version} is gone: calls of it fail"))
            case FlowPlan() as one, FlowPlan() as other:
                found += _flow_changes(find, one, other, messages)
            case _:
                pass
    return tuple(sorted(found, key=lambda change: change.order))


def _added(find: Finder, plan: FlowPlan, before: dict[tuple[str, int], FlowPlan]) -> Iterator[Change]:
    beside = sorted(version for name, version in before if name == plan.name)
    where = f", beside v{', v'.join(map(str, beside))}" if beside else ""
    yield find.grows("", f"flow `{plan.name}` v{plan.version} is new{where}")


def _flow_changes(find: Finder, old: FlowPlan, new: FlowPlan, messages: tuple[Messages, Messages]) -> Iterator[Change]:
    if (old.package, old.service) != (new.package, new.service):
        names = f"`{old.package}.{old.service}`", f"`{new.package}.{new.service}`"
        yield find.breaks_wire("", f"its service was {names[0]} and is now {names[1]}")
        return
    if old.source != new.source:
        yield find.touches("", f"moved from {old.source} to {new.source}")
    for root, place in (("ExecuteRequest", "inputs"), ("Result", "outputs")):
        yield from message_changes(find, f".{new.package}.{root}", place, *messages)
    yield from promise_changes(find, old, new)
    yield from behaviour_changes(find, old, new)
