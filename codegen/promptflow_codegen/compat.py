"""What may not change within a major version: callers' requests stay valid, what they read stays there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from promptflow_codegen.diagnostics import Position, Report
from promptflow_codegen.lock import LockedEnum, LockedMessage
from promptflow_codegen.model import Enum, Field, Message, Promise
from promptflow_codegen.naming import snake
from promptflow_codegen.proto_types import KINDS

CODE = "breaking-change"

_KEPT = (Promise.INPUT, Promise.RESULT)
_GROWING = frozenset({"min", "min_length", "item_min_length"})
_SHRINKING = frozenset({"max", "max_length", "max_bytes", "item_max_length"})


@dataclass(frozen=True, slots=True)
class Place:
    """A message, or an enum of it, at `path` in its file; `next_version` is where a refused change can be made."""

    message: Message
    path: str
    report: Report
    next_version: int


def check_fields(place: Place, before: LockedMessage) -> None:
    """Report changes of fields that callers of this version would notice."""
    message = place.message
    if message.promise not in _KEPT:
        return
    refuse = _Refusal(place)
    for field in message.fields:
        if not field.is_pinned:
            _check_type(field, before, refuse)
            if message.promise is Promise.INPUT:
                _check_input(field, before, refuse)
            else:
                _check_presence(field, before, refuse)
    if message.promise is Promise.RESULT:
        names = {field.name for field in message.fields}
        for name in before.fields:
            if name not in names:
                refuse(message.position, name, "was removed", "keep it")


def check_enum(place: Place, enum: Enum, before: LockedEnum) -> None:
    """Report values that callers of this version send or read and that are gone."""
    if place.message.promise not in _KEPT:
        return
    owner, _, field = place.path.rpartition(".")
    refuse = _Refusal(replace(place, path=owner))
    names = {value.name for value in enum.values}
    for name in before.values:
        if name not in names:
            refuse(place.message.position, snake(field), f"no longer has the enum value `{name}`", "keep the value")


def narrowed(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """The constraints that refuse what was valid, sorted; one of a kind not known here may not change at all."""
    return sorted(key for key in new if _is_narrower(key, old.get(key), new[key]))


def widened(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """The constraints that refuse less than they did, sorted."""
    changed = (key for key in old if old[key] != new.get(key))
    return sorted(key for key in changed if key not in new or not _is_narrower(key, old[key], new[key]))


def _is_narrower(key: str, old: Any, new: Any) -> bool:
    if old is None:
        return True
    if key in _GROWING:
        return bool(new > old)
    if key in _SHRINKING:
        return bool(new < old)
    if key == "accept":
        return not all(any(_takes(kind, listed) for kind in new) for listed in old)
    if isinstance(old, list | tuple) and isinstance(new, list | tuple):
        return not set(old) <= set(new)  # pyright: ignore[reportUnknownArgumentType]
    return bool(old != new)


def _takes(kind: str, listed: str) -> bool:
    """Whether a media type, such as `image/*`, stands for all that `listed` does."""
    wide, narrow = kind.casefold(), listed.casefold()
    return wide == narrow or (wide.endswith("/*") and narrow.startswith(wide[:-1]))


def spelled(constraint: str) -> str:
    """A constraint as the flow file has it: `items.max_length`."""
    return f"items.{constraint.removeprefix('item_')}" if constraint.startswith("item_") else constraint


class _Refusal:
    """Says that a change is refused, and what can be done instead."""

    def __init__(self, place: Place) -> None:
        self._what = "input" if place.message.promise is Promise.INPUT else "result field"
        self._owner = _owner_of(place.path)
        self._report = place.report
        self._next_version = place.next_version

    def __call__(self, position: Position, name: str, change: str, instead: str) -> None:
        shown = f"{self._owner}.{name}" if self._owner else name
        hint = (
            f"{instead}, or make the change in a new file with `version: {self._next_version}`; "
            f"where nobody uses version {self._next_version - 1} yet, delete its folder below `proto/`"
        )
        self._report.error(CODE, position, f"{self._what} `{shown}` {change}", hint)


def _check_type(field: Field, before: LockedMessage, refuse: _Refusal) -> None:
    old = before.fields.get(field.name)
    gone = before.reserved.get(field.name)
    if old is not None and old.type != field.full_type:
        change = f"was `{readable(old.type)}` and is now `{readable(field.full_type)}`"
        if readable(old.type) == readable(field.full_type):
            change = f"was of the message `{_message_in(old.type)}` and is now of `{_message_in(field.full_type)}`"
        refuse(field.position, field.name, change, "keep its type and add another one with a new name")
    elif gone is not None and gone.type != field.full_type:
        change = f"returns as `{readable(field.full_type)}`, but was `{readable(gone.type)}` before it was removed"
        refuse(field.position, field.name, change, "give it another name")


def _check_input(field: Field, before: LockedMessage, refuse: _Refusal) -> None:
    old = before.fields.get(field.name)
    gone = before.reserved.get(field.name)
    if field.is_required and old is None:
        refuse(field.position, field.name, "is new and required", "make it optional, with a default")
    elif field.is_required and old is not None and not old.is_required:
        refuse(field.position, field.name, "was optional and is now required", "leave it optional")
    # Who sent it before it was removed sends it still.
    known = old or gone
    for key in map(spelled, narrowed(known.constraints if known else field.constraints, field.constraints)):
        refuse(field.position, field.name, f"has a narrower `{key}`", f"keep `{key}`")
    if known is not None and known.has_default and not field.has_default and field.is_missed and not field.is_required:
        change = "has no default any more, and is read as if it were always sent"
        refuse(field.position, field.name, change, "keep the default, or read it by `| default(…)`")


def _check_presence(field: Field, before: LockedMessage, refuse: _Refusal) -> None:
    old = before.fields.get(field.name)
    if old is not None and old.is_required and field.may_be_absent:
        change = "was always there and may now be absent"
        refuse(field.position, field.name, change, "let every run have it, such as by `| default(…)`")


def _owner_of(path: str) -> str:
    """The message at `path` as the file's author knows it: `ExecuteRequest.HomeAddress` is `home_address`."""
    root, *inner = path.split(".")
    names = inner if root in ("ExecuteRequest", "Result") else [root.removesuffix("Output"), *inner]
    return ".".join(map(snake, names))


def readable(proto_type: str) -> str:
    """A type of a proto file as the flow language spells it, as far as it can."""
    words = proto_type.split(" ")
    if proto_type.startswith("map<"):
        return f"map<{_name(words[-1].removesuffix('>'))}>"
    return f"{_name(words[-1])}[]" if words[0] == "repeated" else _name(words[-1])


def _name(name: str) -> str:
    if name.endswith(".Value") and not name.startswith("."):
        return "enum"
    is_message = name.rpartition(".")[2][:1].isupper()
    return str(KINDS.get(name) or ("object" if is_message else name))


def _message_in(proto_type: str) -> str:
    return proto_type.rpartition(" ")[2].removesuffix(">")
