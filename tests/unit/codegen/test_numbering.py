"""The law of the lock: whatever is edited, no number ever moves or is given to something else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptflow_codegen.diagnostics import Report
from promptflow_codegen.lock import Lock, LockedField, LockedMessage
from promptflow_codegen.lock_file import parse_lock, print_lock
from promptflow_codegen.model import Enum, EnumValue, Field, Message, Promise, ProtoFile, Service
from promptflow_codegen.numbering import number_file

NAMES = ("a", "b", "c", "d")
TYPES = ("optional string", "optional int64", "repeated string", "X")
PROMISES = (Promise.INPUT, Promise.RESULT, Promise.VIEW)


@dataclass(frozen=True, slots=True)
class Shape:
    """A state of one message and of one enum: what an author may have written."""

    fields: Mapping[str, tuple[str, bool]]
    values: tuple[str, ...]


shapes = st.builds(
    Shape,
    st.dictionaries(st.sampled_from(NAMES), st.tuples(st.sampled_from(TYPES), st.booleans())),
    st.lists(st.sampled_from(("red", "green", "blue")), unique=True).map(tuple),
)


def file_of(shape: Shape, promise: Promise) -> ProtoFile:
    fields = tuple(_field(name, *kind) for name, kind in shape.fields.items())
    pinned = Field("options", "X", number=1002, is_pinned=True)
    enum = Message("Color", (), enums=(Enum("Value", tuple(map(EnumValue, shape.values))),), promise=promise)
    message = Message("M", (*fields, pinned), (enum,), promise=promise)
    return ProtoFile("x.proto", "x", Service("S", ()), (message,))


def _field(name: str, full_type: str, is_required: bool) -> Field:
    label, _, proto_type = full_type.rpartition(" ")
    return Field(name, proto_type, label, is_required=is_required)


@given(st.sampled_from(PROMISES), st.lists(shapes, min_size=1, max_size=12))
@settings(deadline=None)
def test_no_sequence_of_edits_moves_or_reuses_a_number(promise: Promise, edits: list[Shape]) -> None:
    lock = Lock("x", 1)
    owners: dict[tuple[str, int], object] = {}
    for shape in edits:
        report = Report("x")
        numbered, after = number_file(file_of(shape, promise), lock, report)
        if report.has_errors:
            continue
        message = numbered.messages[0]
        for field in message.fields:
            owner = (field.name, field.full_type)
            assert owners.setdefault(("field", field.number), owner) == owner
        (enum,) = message.messages[0].enums
        for value in enum.values:
            assert owners.setdefault(("value", value.number), value.name) == value.name
        assert_consistent(message, enum)
        assert parse_lock(print_lock(after).encode(), flow="x", version=1, report=report) == after
        lock = after


def assert_consistent(message: Message, enum: Enum) -> None:
    numbers = [field.number for field in message.fields]
    assert len({*numbers, *message.reserved_numbers}) == len(numbers) + len(message.reserved_numbers)
    assert not {field.name for field in message.fields} & set(message.reserved_names)
    assert numbers == sorted(numbers)
    values = [value.number for value in enum.values]
    assert len({0, *values, *enum.reserved_numbers}) == 1 + len(values) + len(enum.reserved_numbers)


@given(shapes)
@settings(deadline=None)
def test_what_was_removed_returns_with_its_number(first: Shape) -> None:
    def numbers(file: ProtoFile) -> dict[tuple[str, str], int]:
        return {(field.name, field.full_type): field.number for field in file.messages[0].fields}

    report = Report("x")
    before, lock = number_file(file_of(first, Promise.VIEW), Lock("x", 1), report)
    _, lock = number_file(file_of(Shape({}, ()), Promise.VIEW), lock, report)
    after, _ = number_file(file_of(first, Promise.VIEW), lock, report)
    assert numbers(after) == numbers(before)
    assert not report.has_errors


NEXT = ((999, 1100), (18_999, 20_000), (1, 2))


@pytest.mark.parametrize(("last", "expected"), NEXT)
def test_reserved_ranges_are_skipped(last: int, expected: int) -> None:
    lock = Lock("x", 1, {"M": LockedMessage({"z": LockedField(last, "X")})})
    shape = Shape({"z": ("X", False), "a": ("X", False)}, ())
    file, _ = number_file(file_of(shape, Promise.VIEW), lock, Report("x"))
    assert {field.name: field.number for field in file.messages[0].fields}["a"] == expected


def test_only_requests_keep_the_control_numbers_free() -> None:
    lock = Lock("x", 1, {"M": LockedMessage({"z": LockedField(999, "X")})})
    message = Message("M", (Field("z", "X"), Field("a", "X")), promise=Promise.VIEW)
    file, _ = number_file(ProtoFile("x", "x", Service("S", ()), (message,)), lock, Report("x"))
    assert [field.number for field in file.messages[0].fields] == [999, 1000]


def test_a_view_that_changes_its_type_takes_a_new_number_and_reserves_the_old() -> None:
    def shape(kind: str) -> ProtoFile:
        return file_of(Shape({"a": (kind, False)}, ()), Promise.VIEW)

    _, lock = number_file(shape("X"), Lock("x", 1), Report("x"))
    file, lock = number_file(shape("optional string"), lock, Report("x"))
    message = file.messages[0]
    assert (message.fields[0].number, message.reserved_numbers, message.reserved_names) == (2, (1,), ())
    file, _ = number_file(shape("X"), lock, Report("x"))
    assert (file.messages[0].fields[0].number, file.messages[0].reserved_numbers) == (3, (1, 2))
