"""Numbers for a file's fields and enum values, from the lock or, for what is new, the next free ones."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from promptflow_codegen.compat import Place, check_enum, check_fields
from promptflow_codegen.diagnostics import Report
from promptflow_codegen.lock import Lock, LockedEnum, LockedField, LockedMessage
from promptflow_codegen.model import Enum, EnumValue, Field, Message, Promise, ProtoFile

CONTROL_NUMBERS = range(1000, 1100)
"""In ExecuteRequest: fields of the contract, beside the flow's own."""

PROTOBUF_NUMBERS = range(19000, 20000)


def number_file(file: ProtoFile, lock: Lock, report: Report) -> tuple[ProtoFile, Lock]:
    """The file with all numbers, and the lock that remembers them; refused changes go to `report`."""
    numbering = _Numbering(lock, report)
    numbered = tuple(numbering.message(message, message.name) for message in file.messages)
    return replace(file, messages=numbered), replace(lock, messages=numbering.messages, enums=numbering.enums)


def next_number(used: Collection[int], skipped: range = range(0)) -> int:
    """The first number above all that were ever used, outside the reserved ranges."""
    number = max(used, default=0) + 1
    for forbidden in (skipped, PROTOBUF_NUMBERS):
        if number in forbidden:
            number = forbidden.stop
    return number


class _Numbering:
    """One pass over a file; `messages` and `enums` become those of the new lock."""

    def __init__(self, lock: Lock, report: Report) -> None:
        self.messages = dict(lock.messages)
        self.enums = dict(lock.enums)
        self._report = report
        self._next_version = lock.version + 1

    def message(self, message: Message, path: str) -> Message:
        if message.promise is Promise.FIXED:
            return message
        enums = tuple(self._enum(enum, path, message) for enum in message.enums)
        if enums:
            return replace(message, enums=enums)
        before = self.messages.get(path)
        if before is not None:
            check_fields(self._place(message, path), before)
        after = _updated(message, before or LockedMessage())
        self.messages[path] = after
        nested = tuple(self.message(inner, f"{path}.{inner.name}") for inner in message.messages)
        return _with_numbers(replace(message, messages=nested), after)

    def _place(self, message: Message, path: str) -> Place:
        return Place(message, path, self._report, self._next_version)

    def _enum(self, enum: Enum, path: str, owner: Message) -> Enum:
        before = self.enums.get(path, LockedEnum())
        check_enum(self._place(owner, path), enum, before)
        after = _updated_enum(enum, before)
        self.enums[path] = after
        return Enum(
            enum.name,
            tuple(EnumValue(value.name, after.values[value.name]) for value in enum.values),
            reserved_numbers=tuple(sorted((*after.reserved.values(), *after.retired))),
            reserved_names=tuple(sorted(after.reserved)),
        )


def _updated(message: Message, before: LockedMessage) -> LockedMessage:
    own = [field for field in message.fields if not field.is_pinned]
    skipped = CONTROL_NUMBERS if len(own) < len(message.fields) else range(0)
    known = {**before.reserved, **before.fields}
    used, retired = set(before.numbers), set(before.retired)
    fields: dict[str, LockedField] = {}
    for field in own:
        old = known.pop(field.name, None)
        if old is not None and old.type == field.full_type:
            number = old.number
        else:
            number = field.number if field.number and field.number not in used else next_number(used, skipped)
            retired |= {old.number} if old else set()
        used.add(number)
        is_required = _is_required(field, message.promise, before.fields.get(field.name))
        fields[field.name] = LockedField(number, field.full_type, is_required, field.constraints, field.has_default)
    return LockedMessage(fields, known, tuple(sorted(retired)))


def _is_required(field: Field, promise: Promise, old: LockedField | None) -> bool:
    match promise:
        case Promise.INPUT:
            return field.is_required
        case Promise.RESULT:
            # What was always there stays promised while nothing says that it may be absent.
            return field.is_required or (old is not None and old.is_required and not field.may_be_absent)
        case _:
            return False


def _updated_enum(enum: Enum, before: LockedEnum) -> LockedEnum:
    known = {**before.reserved, **before.values}
    used = {*known.values(), *before.retired}
    values: dict[str, int] = {}
    for value in enum.values:
        number = known.pop(value.name, None) or next_number(used)
        used.add(number)
        values[value.name] = number
    return LockedEnum(values, known, before.retired)


def _with_numbers(message: Message, locked: LockedMessage) -> Message:
    def numbered(field: Field) -> Field:
        return field if field.is_pinned else replace(field, number=locked.fields[field.name].number)

    gone = [old.number for old in locked.reserved.values()]
    return replace(
        message,
        fields=tuple(sorted(map(numbered, message.fields), key=lambda field: field.number)),
        reserved_numbers=tuple(sorted([*gone, *locked.retired])),
        reserved_names=tuple(sorted(locked.reserved)),
    )
