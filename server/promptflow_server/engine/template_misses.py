"""What a template says about values that are not there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Self, cast

from jinja2 import StrictUndefined, UndefinedError

from promptflow_codegen.plan import FlowPlan
from promptflow_codegen.template_syntax import Read
from promptflow_core.values import NativeValue

MAX_SHOWN = 12


class StrictMiss(StrictUndefined):
    """A value that is not there: an error wherever something is done with it."""


class SkippedStep(StrictMiss):
    """A step that was skipped; `default` and `is defined` work on it and on what would be below it."""

    @classmethod
    def of(cls, name: str) -> Self:
        """The stand-in for one step."""
        return cls(hint=cls.explanation(name))

    @staticmethod
    def explanation(name: str) -> str:
        """What to tell who did something else with it."""
        return f"step `{name}` was skipped; say what holds then: `| default(...)`"


class MethodOrMiss(StrictMiss):
    """What a mapping has no key for but a method: absent, as any key that is not there, unless it is called."""

    method: Any = None

    @classmethod
    def of(cls, mapping: Any, name: str, method: Any) -> Self:
        """The stand-in for `name` of a mapping."""
        found = cls(obj=mapping, name=name)
        found.method = method
        return found


def explain(reads: Iterable[Read], variables: Mapping[str, NativeValue], plan: FlowPlan, error: UndefinedError) -> str:
    """Name what is missing: the read that leads nowhere rather than the operation that stumbled over it."""
    for read in reads:
        key, message = _miss(read.path, variables, plan)
        if message and (repr(key) in str(error) or message == str(error)):
            return message
    return str(error)


def _miss(path: tuple[str | int, ...], variables: Mapping[str, NativeValue], plan: FlowPlan) -> tuple[Any, str]:
    """The first key of the path that is not there and what to say about it, or (None, "")."""
    value: Any = variables
    for depth, key in enumerate(path):
        match value:
            case SkippedStep():
                return path[1], SkippedStep.explanation(str(path[1]))
            case Mapping() if key in value:
                value = value[key]  # pyright: ignore[reportUnknownVariableType]
            case Mapping():
                return key, _missing_key(path[:depth], key, value, plan)  # pyright: ignore[reportUnknownArgumentType]
            case list():
                size = len(value)  # pyright: ignore[reportUnknownArgumentType]
                if isinstance(key, int) and -size <= key < size:
                    value = value[key]  # pyright: ignore[reportUnknownVariableType]
                    continue
                what = "it is a list" if isinstance(key, str) else f"the list has {size} items"
                return key, f"`{_spelled(path[:depth])}` has no `{key}`; {what}"
            case _:  # pyright: ignore[reportUnknownVariableType]
                what = type(cast("object", value)).__name__
                return key, f"`{_spelled(path[:depth])}` has no `{key}`; it is a {what}"
    if isinstance(value, SkippedStep):
        return path[1], SkippedStep.explanation(str(path[1]))
    return None, ""


def _missing_key(parent: tuple[str | int, ...], key: Any, value: Mapping[str, Any], plan: FlowPlan) -> str:
    match parent:
        case ():
            return f"`{key}` is not defined; templates see {_listed(value)}"
        case ("inputs",) if plan.inputs.field(str(key)) is not None:
            return f"input `{key}` was not given and has no default; say what holds then: `| default(...)`"
        case ("steps",) if any(step.name == key for step in plan.steps):
            return f"step `{key}` is not over yet; add it to `needs`"
        case _:
            return f"`{_spelled(parent)}` has no `{key}`; it has {_listed(value)}"


def _listed(value: Mapping[str, Any]) -> str:
    names = [f"`{name}`" for name in value]
    if not names:
        return "nothing"
    return ", ".join(names[:MAX_SHOWN]) + ("…" if len(names) > MAX_SHOWN else "")


def _spelled(path: tuple[str | int, ...]) -> str:
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path).lstrip(".")
