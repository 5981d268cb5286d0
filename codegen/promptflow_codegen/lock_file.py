"""The lock as a file: one text for one lock, and a digest that tells when it was edited.

The digest is of what the lock says, not of how it is printed: a later release that prints it otherwise reads it still.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from promptflow_codegen.diagnostics import Position, Report
from promptflow_codegen.lock import Lock, LockedEnum, LockedField, LockedMessage
from promptflow_codegen.lock_merge import ConflictError, has_conflicts, merge_locks, split_conflicts, without_repetition
from promptflow_codegen.lock_printed import read_printed
from promptflow_codegen.source import parse_source
from promptflow_codegen.tree import to_plain

FORMAT = 1
MAX_NUMBER = 2**29 - 1

_HINT = "restore it from version control; numbers that clients know would move otherwise"

_NO_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})

Number = Annotated[int, Field(strict=True, ge=1, le=MAX_NUMBER)]


def print_lock(lock: Lock) -> str:
    """The text of a lock."""
    body = "\n".join(_lines(lock)) + "\n"
    title = f"# Numbers of {lock.flow} v{lock.version} on the wire: they never move."
    return f"{title} Kept by `promptflow generate`; commit it, do not edit it.\n{body}digest: {_digest(lock)}\n"


def parse_lock(data: bytes, *, flow: str, version: int, report: Report) -> Lock | None:
    """Read what `print_lock` wrote, or what git made of two of them; anything else is one diagnostic.

    Where git left the markers of a merge conflict, the lock is that of both branches, and a warning says what moved.
    """
    text = data.decode("utf-8", errors="replace")
    try:
        if has_conflicts(text):
            return _resolve(text, (flow, version), report)
        printed = _as_printed(text, (flow, version))
        if printed is not None:
            return printed
        document = _read(data, (flow, version))
        lock = document.to_lock()
        _check_numbers(lock)
        if document.digest != _digest(lock):
            raise _DamageError("the lock was edited by hand: its digest does not match")
    except _DamageError as damage:
        report.error("damaged-lock", damage.position, str(damage), damage.hint)
        return None
    return lock


class _DamageError(ValueError):
    """A text that is no lock."""

    def __init__(self, message: str, position: Position | None = None, hint: str = _HINT) -> None:
        super().__init__(message)
        self.position = position or Position()
        self.hint = hint


def _as_printed(text: str, of: tuple[str, int]) -> Lock | None:
    """The lock whose text this is to the letter, digest included; anything else is looked at more closely."""
    lock = read_printed(text)
    if lock is None or (lock.flow, lock.version) != of or print_lock(lock) != text:
        return None
    owners: list[LockedMessage | LockedEnum] = [*lock.messages.values(), *lock.enums.values()]
    if not all(1 <= number <= MAX_NUMBER for owner in owners for number in owner.numbers):
        return None
    _check_numbers(lock)
    return lock


def _read(data: bytes, of: tuple[str, int]) -> _LockModel:
    """What the text says; whether its numbers make sense and its digest fits is not looked at.

    Raises:
        _DamageError: it is no lock of this flow.
    """
    inner = Report("")
    root = parse_source(data, inner)
    if root is None or inner.has_errors:
        first = inner.diagnostics[0]
        raise _DamageError(f"the lock cannot be read: {first.message}", first.position)
    content = to_plain(root)
    match content:
        case {"format": int(written)} if written > FORMAT:
            message = f"the lock has format {written}: a newer release wrote it, and this one reads format {FORMAT}"
            raise _DamageError(message, hint="generate with that release of PromptFlow, or a later one")
        case _:
            pass
    try:
        document = _LockModel.model_validate(content)
    except ValidationError as error:
        first_error = error.errors()[0]
        place = ".".join(map(str, first_error["loc"]))
        raise _DamageError(f"the lock cannot be read: {place}: {first_error['msg']}") from None
    if (document.flow, document.version) != of:
        raise _DamageError(f"the lock is of {document.flow} v{document.version}, not of {of[0]} v{of[1]}")
    return document


def _resolve(text: str, of: tuple[str, int], report: Report) -> Lock:
    try:
        sides = split_conflicts(text)
        first, second = (_read(without_repetition(side).encode(), of).to_lock() for side in sides)
    except (ConflictError, KeyError) as error:
        raise _DamageError(f"the lock cannot be read: {error}") from None
    merged = merge_locks(first, second)
    _check_numbers(merged.lock)
    hint = "`promptflow generate` writes it; commit it with the flow"
    report.warning("merged-lock", Position(), "the lock had merge conflicts; it is that of both branches now", hint)
    for sentence in merged.moved:
        report.warning("merged-lock", Position(), sentence, "clients of that branch alone have to be generated again")
    return merged.lock


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _FieldModel(_Model):
    number: Number
    type: str
    required: bool = False
    default: bool = False
    constraints: dict[str, Any] = Field(default_factory=dict[str, Any])

    def to_locked(self) -> LockedField:
        return LockedField(self.number, self.type, self.required, self.constraints, self.default)


class _MessageModel(_Model):
    fields: dict[str, _FieldModel] = Field(default_factory=dict[str, _FieldModel])
    reserved: dict[str, _FieldModel] = Field(default_factory=dict[str, _FieldModel])
    retired: tuple[Number, ...] = ()


class _EnumModel(_Model):
    values: dict[str, Number] = Field(default_factory=dict[str, Number])
    reserved: dict[str, Number] = Field(default_factory=dict[str, Number])
    retired: tuple[Number, ...] = ()


class _LockModel(_Model):
    format: Literal[1]
    flow: str
    version: int
    messages: dict[str, _MessageModel]
    enums: dict[str, _EnumModel] = Field(default_factory=dict[str, _EnumModel])
    digest: str

    def to_lock(self) -> Lock:
        messages = {
            name: LockedMessage(
                {key: item.to_locked() for key, item in message.fields.items()},
                {key: item.to_locked() for key, item in message.reserved.items()},
                message.retired,
            )
            for name, message in self.messages.items()
        }
        enums = {name: LockedEnum(enum.values, enum.reserved, enum.retired) for name, enum in self.enums.items()}
        return Lock(self.flow, self.version, messages, enums)


def _check_numbers(lock: Lock) -> None:
    """Raise _DamageError where one number stands for two things, or a name is both there and gone."""
    for name, message in lock.messages.items():
        entries = (*message.fields.values(), *message.reserved.values())
        _check_unique(name, [*(entry.number for entry in entries), *message.retired])
        _check_apart(name, message.fields, message.reserved)
    for name, enum in lock.enums.items():
        _check_unique(name, [*enum.values.values(), *enum.reserved.values(), *enum.retired])
        _check_apart(name, enum.values, enum.reserved)


def _check_unique(name: str, numbers: list[int]) -> None:
    if len(set(numbers)) < len(numbers):
        twice = next(number for number, count in Counter(numbers).items() if count > 1)
        raise _DamageError(f"the lock contradicts itself: `{name}` has number {twice} twice")


def _check_apart(name: str, there: Mapping[str, Any], gone: Mapping[str, Any]) -> None:
    both = next((key for key in there if key in gone), None)
    if both is not None:
        raise _DamageError(f"the lock contradicts itself: `{name}` has `{both}` as present and as removed")


def _digest(lock: Lock) -> str:
    # Without numbers that are retired, as the first release wrote it.
    enums = {
        name: [dict(enum.values), dict(enum.reserved), *([list(enum.retired)] if enum.retired else [])]
        for name, enum in lock.enums.items()
    }
    messages = {
        name: [_content(message.fields), _content(message.reserved), list(message.retired)]
        for name, message in lock.messages.items()
    }
    content = json.dumps([FORMAT, lock.flow, lock.version, messages, enums], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:32]


def _content(fields: Mapping[str, LockedField]) -> dict[str, Any]:
    # Without what no earlier release wrote, where there is none of it.
    return {
        name: [
            *(field.number, field.type, field.is_required, _without_whole_floats(dict(field.constraints))),
            *([True] if field.has_default else []),
        ]
        for name, field in fields.items()
    }


def _without_whole_floats(value: Any) -> Any:
    """5.0 and 5 are one bound, however it was written."""
    match value:
        case dict():
            entries: dict[str, Any] = value  # pyright: ignore[reportUnknownVariableType]
            return {name: _without_whole_floats(item) for name, item in entries.items()}
        case list() | tuple():
            return [_without_whole_floats(item) for item in value]  # pyright: ignore[reportUnknownVariableType]
        case float():
            return int(value) if value.is_integer() else value
        case _:
            return value


def _lines(lock: Lock) -> Iterator[str]:
    yield from (f"format: {FORMAT}", f"flow: {lock.flow}", f"version: {lock.version}")
    yield "messages:" if lock.messages else "messages: {}"
    for name, message in sorted(lock.messages.items()):
        yield f"  {name}:"
        yield "    fields:" if message.fields else "    fields: {}"
        yield from _field_lines(message.fields)
        if message.reserved:
            yield "    reserved:"
            yield from _field_lines(message.reserved)
        if message.retired:
            yield f"    retired: [{', '.join(map(str, message.retired))}]"
    if lock.enums:
        yield "enums:"
    for name, enum in sorted(lock.enums.items()):
        yield f"  {name}:"
        yield f"    values: {_numbers(enum.values)}"
        if enum.reserved:
            yield f"    reserved: {_numbers(enum.reserved)}"
        if enum.retired:
            yield f"    retired: [{', '.join(map(str, enum.retired))}]"


def _field_lines(fields: Mapping[str, LockedField]) -> Iterator[str]:
    for name, locked in sorted(fields.items(), key=lambda item: item[1].number):
        parts = [f"number: {locked.number}", f"type: {json.dumps(locked.type)}"]
        if locked.is_required:
            parts.append("required: true")
        if locked.has_default:
            parts.append("default: true")
        if locked.constraints:
            parts.append(f"constraints: {_value(dict(sorted(locked.constraints.items())))}")
        yield f"      {_key(name)}: {{{', '.join(parts)}}}"


def _numbers(values: Mapping[str, int]) -> str:
    ordered = sorted(values.items(), key=lambda item: item[1])
    return "{" + ", ".join(f"{_key(name)}: {number}" for name, number in ordered) + "}"


def _value(value: Any) -> str:
    match value:
        case dict():
            entries: dict[str, Any] = value  # pyright: ignore[reportUnknownVariableType]
            return "{" + ", ".join(f"{name}: {_value(item)}" for name, item in entries.items()) + "}"
        case list():
            items: list[Any] = value  # pyright: ignore[reportUnknownVariableType]
            return "[" + ", ".join(map(_value, items)) + "]"
        case str():
            return '"' + "".join(map(_escaped, value)) + '"'
        case _:
            return json.dumps(value)


def _escaped(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    return character if character.isprintable() else f"\\U{ord(character):08x}"


def _key(name: str) -> str:
    # YAML takes these for other things than words.
    return json.dumps(name) if name.lower() in _NO_WORDS else name
