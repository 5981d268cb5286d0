"""What runs: steps and their templates, outputs, times."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from promptflow_codegen.evolution.change import Change, Finder
from promptflow_codegen.plan import FlowPlan, StepPlan

_WORDS = frozenset({"description", "line", "name", "pools"})
_ELSEWHERE = frozenset(
    {
        *("name", "version", "package", "service", "inputs", "result", "description", "source"),
        *("steps", "outputs", "output_lines", "timeout_ms", "labels"),
    }
)
"""Parts of a plan that are compared by themselves, here or in another module."""

_SPELLINGS = {"timeout_ms": "timeout", "items_name": "as"}
_SHOWN = 60


def behaviour_changes(find: Finder, old: FlowPlan, new: FlowPlan) -> Iterator[Change]:
    """What is done otherwise than it was; the order of steps counts where one waits for another."""
    before = {step.name: step for step in old.steps}
    after = {step.name: step for step in new.steps}
    for name in before.keys() - after.keys():
        yield find.behaves(f"steps.{name}", "the step is gone")
    for name, step in after.items():
        if name not in before:
            yield find.behaves(f"steps.{name}", f"the step is new; it runs `{_runs(step)}`")
        else:
            yield from _step(find, before[name], step)
    yield from _outputs(find, old.outputs, new.outputs)
    if old.timeout_ms != new.timeout_ms:
        yield find.behaves("timeout", _was("it", _time(old.timeout_ms), _time(new.timeout_ms)))
    if old.labels != new.labels:
        yield find.touches("labels", "runs carry other labels")
    for field in fields(FlowPlan):
        if field.name not in _ELSEWHERE and getattr(old, field.name) != getattr(new, field.name):
            yield find.behaves(field.name, _was("it", getattr(old, field.name), getattr(new, field.name)))


def _step(find: Finder, old: StepPlan, new: StepPlan) -> Iterator[Change]:
    path = f"steps.{new.name}"
    for field in fields(StepPlan):
        was, now = getattr(old, field.name), getattr(new, field.name)
        spelled = _SPELLINGS.get(field.name, field.name)
        match field.name:
            case _ if was == now or field.name in _WORDS:
                pass
            case "config":
                yield from _values(find, was, now, f"{path}.config")
            case "output":
                yield find.behaves(path, "its output, which watchers see, has another shape")
            case "queue":
                yield find.behaves(path, f"its calls wait in `{now or 'no queue'}`; it was `{was or 'no queue'}`")
            case "timeout_ms":
                yield find.behaves(f"{path}.{spelled}", _was("it", _time(was), _time(now)))
            case "retry":
                yield find.behaves(f"{path}.{spelled}", "is tried again otherwise than before")
            case "models":
                yield find.behaves(path, _was("its model", was, now))
            case _:
                yield find.behaves(f"{path}.{spelled}", _was("it", was, now))
    if old.description != new.description:
        yield find.touches(path, "has another description")


def _outputs(find: Finder, old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> Iterator[Change]:
    if (old is None) != (new is None):
        yield find.behaves("outputs", "every step is in the result now" if new is None else "names its result now")
        return
    shared = {name: value for name, value in (old or {}).items() if name in (new or {})}
    yield from _values(find, shared, {name: (new or {})[name] for name in shared}, "outputs")


def _values(find: Finder, old: Any, new: Any, path: str) -> Iterator[Change]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        before: Mapping[str, Any] = old  # pyright: ignore[reportUnknownVariableType]
        after: Mapping[str, Any] = new  # pyright: ignore[reportUnknownVariableType]
        for key in sorted({*before, *after}):
            yield from _values(find, before.get(key), after.get(key), f"{path}.{key}")
    elif old != new:
        yield find.behaves(path, _was("it", old, new))


def _was(what: str, old: Any, new: Any) -> str:
    return f"{what} was {_shown(old)} and is now {_shown(new)}"


def _shown(value: Any) -> str:
    if value is None or value in ("", (), []):
        return "nothing"
    text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    return f"`{text if len(text) <= _SHOWN else text[: _SHOWN - 1] + '…'}`"


def _time(milliseconds: int | None) -> str | None:
    return None if milliseconds is None else f"{milliseconds / 1000:g}s"


def _runs(step: StepPlan) -> str:
    return step.executor or f"flow {step.flow}"
