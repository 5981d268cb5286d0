"""Inputs and outputs as plans have them: what must be sent, what applies where it is not, what is surely answered."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from promptflow_codegen.build_fields import is_always_there, is_sometimes_absent
from promptflow_codegen.compat import narrowed, spelled, widened
from promptflow_codegen.evolution.change import Change, Finder
from promptflow_codegen.plan import FlowPlan
from promptflow_codegen.presence import Presence, missed_inputs, presence_of
from promptflow_codegen.rules import given_limits
from promptflow_core.types import FieldType, ObjectType, ValueType, object_in


def promise_changes(find: Finder, old: FlowPlan, new: FlowPlan) -> Iterator[Change]:
    """What callers have to send otherwise, or can rely on no more."""
    yield from _inputs(find, old.inputs, new.inputs, "inputs")
    yield from _lost_defaults(find, old, new)
    yield from _results(find, old, new)
    if old.description != new.description:
        yield find.touches("description", "has another description")


def _inputs(find: Finder, old: ObjectType, new: ObjectType, path: str) -> Iterator[Change]:
    for field in new.fields:
        inside = f"{path}.{field.name}"
        before = old.field(field.name)
        if before is not None:
            yield from _input(find, before, field, inside)
        elif field.required:
            yield find.breaks_wire(inside, "is new and required: requests of today's clients are refused")


def _input(find: Finder, old: FieldType, new: FieldType, path: str) -> Iterator[Change]:
    if new.required and not old.required:
        yield find.breaks_wire(path, "was optional and is now required")
    elif old.required and not new.required:
        yield find.grows(path, "was required and is now optional")
    if old.default != new.default and not (is_sometimes_absent(new) and old.default is not None):
        yield find.behaves(path, _default_change(old, new))
    limits = given_limits(old.constraints), given_limits(new.constraints)
    for key in map(spelled, narrowed(*limits)):
        yield find.breaks_wire(path, f"has a narrower `{key}`")
    for key in map(spelled, widened(*limits)):
        yield find.grows(path, f"has a wider `{key}`")
    yield from _words(find, old, new, path)
    inner = object_in(old.type), object_in(new.type)
    if inner[0] is not None and inner[1] is not None:
        yield from _inputs(find, inner[0], inner[1], path)


def _lost_defaults(find: Finder, old: FlowPlan, new: FlowPlan) -> Iterator[Change]:
    """Inputs, and fields of them, that may be absent now: who never sent them goes on like that."""
    lost = dict(_without_default(old.inputs, new.inputs, ()))
    missed = missed_inputs(new) if lost else frozenset[str]()
    for (first, *inside), default in lost.items():
        path = ".".join(("inputs", first, *inside))
        if inside or first in missed:
            message = f"has no default any more, and is read as if it were always sent; it was `{default}`"
            yield find.breaks_wire(path, message)
        else:
            yield find.behaves(path, f"has no default any more; it was `{default}`")


def _without_default(old: ObjectType, new: ObjectType, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Path and default of each."""
    for field in new.fields:
        before = old.field(field.name)
        if before is None:
            continue
        inside = (*path, field.name)
        if before.default is not None and is_sometimes_absent(field):
            yield inside, before.default
        inner = object_in(before.type), object_in(field.type)
        if inner[0] is not None and inner[1] is not None:
            yield from _without_default(inner[0], inner[1], inside)


def _default_change(old: FieldType, new: FieldType) -> str:
    if old.default is None:
        return f"has the default `{new.default}`, and had none"
    if new.default is None:
        return f"has no default any more; it was `{old.default}`"
    return f"has the default `{new.default}`; it was `{old.default}`"


def _results(find: Finder, old: FlowPlan, new: FlowPlan) -> Iterator[Change]:
    before, after = presence_of(old), presence_of(new)
    for field in new.result.fields:
        path = f"outputs.{field.name}"
        was = old.result.field(field.name)
        if was is None:
            continue
        if before[field.name] is Presence.ALWAYS and after[field.name] is Presence.SOMETIMES:
            yield find.breaks_wire(path, "was always there and may now be absent")
        yield from _words(find, was, field, path)
        yield from _inner_results(find, was.type, field.type, path)


def _inner_results(find: Finder, old: ValueType, new: ValueType, path: str) -> Iterator[Change]:
    before, after = object_in(old), object_in(new)
    if before is None or after is None:
        return
    for field in after.fields:
        inside = f"{path}.{field.name}"
        was = before.field(field.name)
        if was is None:
            continue
        if is_always_there(was) and is_sometimes_absent(field):
            yield find.breaks_wire(inside, "was always there and may now be absent")
        yield from _inner_results(find, was.type, field.type, inside)


def _words(find: Finder, old: FieldType, new: FieldType, path: str) -> Iterator[Change]:
    if old.description != new.description:
        yield find.touches(path, "has another description")
    if old.deprecated != new.deprecated:
        yield find.touches(path, "is deprecated" if new.deprecated else "is no longer deprecated")
