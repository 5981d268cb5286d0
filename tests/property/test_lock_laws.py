"""Laws of the lock: over any edits of any branches, merged in any order, no number moves and none is used again.

The model of the law is a ledger: whoever publishes writes down which name and type a number stands for. A number has
one line in the ledger for ever; only where two branches gave one number to two names does the second get another one,
and then the lock says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from promptflow_codegen.diagnostics import Report
from promptflow_codegen.lock import Lock, LockedMessage
from promptflow_codegen.lock_file import parse_lock, print_lock
from promptflow_codegen.lock_merge import merge_locks
from promptflow_codegen.model import Enum, EnumValue, Field, Message, Promise, ProtoFile, Service
from promptflow_codegen.numbering import CONTROL_NUMBERS, PROTOBUF_NUMBERS, number_file

NAMES = tuple("abcdefghijkl")
TYPES = ("optional string", "optional int64", "repeated string", "X")
VALUES = ("red", "green", "blue", "grey", "pink", "gold")
PROMISES = (Promise.INPUT, Promise.RESULT, Promise.VIEW)
ROOT, INNER, COLOR = "ExecuteRequest", "ExecuteRequest.Inner", "ExecuteRequest.Color"
Ledger = dict[tuple[str, int], str]


@dataclass(frozen=True, slots=True)
class Shape:
    """A state of a message, of one inside it and of an enum."""

    fields: Mapping[str, str]
    inner: Mapping[str, str]
    values: tuple[str, ...]


typed = st.dictionaries(st.sampled_from(NAMES), st.sampled_from(TYPES), max_size=4)
shapes = st.builds(Shape, typed, typed, st.lists(st.sampled_from(VALUES), unique=True).map(tuple))


def file_of(shape: Shape, promise: Promise) -> ProtoFile:
    def fields(kinds: Mapping[str, str]) -> tuple[Field, ...]:
        parts = ((name, *kind.rpartition(" ")) for name, kind in kinds.items())
        return tuple(Field(name, proto_type, label) for name, label, _, proto_type in parts)

    enum = Message("Color", (), enums=(Enum("Value", tuple(map(EnumValue, shape.values))),), promise=promise)
    inner = Message("Inner", fields(shape.inner), promise=promise)
    pinned = Field("options", "X", number=1002, is_pinned=True)
    root = Message(ROOT, (*fields(shape.fields), pinned), (enum, inner), promise=promise)
    return ProtoFile("x.proto", "x", Service("S", ()), (root,))


def published(lock: Lock) -> Ledger:
    """What each number in use or reserved stands for."""
    found: Ledger = {}
    for place, message in lock.messages.items():
        for name, entry in (*message.fields.items(), *message.reserved.items()):
            found[place, entry.number] = f"{name}: {entry.type}"
    for place, enum in lock.enums.items():
        for name, number in (*enum.values.items(), *enum.reserved.items()):
            found[place, number] = name
    return found


def edited(lock: Lock, shape: Shape, promise: Promise) -> Lock:
    """The lock after an edit; as it was where the edit is refused."""
    report = Report("x")
    _, after = number_file(file_of(shape, promise), lock, report)
    return lock if report.has_errors else after


def is_sound(lock: Lock) -> bool:
    """Whether the lock is read as it is printed, which no lock is that has a number twice."""
    return parse_lock(print_lock(lock).encode(), flow="x", version=1, report=Report("x")) == lock


class Branches(RuleBasedStateMachine):
    """A main branch and one that is left, edited and merged again and again."""

    @initialize(promise=st.sampled_from(PROMISES), shape=shapes)
    def publish(self, promise: Promise, shape: Shape) -> None:
        self.promise = promise
        self.main = self.branch = edited(Lock("x", 1), shape, promise)
        self.ledger: Ledger = {}

    @rule(shape=shapes)
    def edit_main(self, shape: Shape) -> None:
        self.main = edited(self.main, shape, self.promise)

    @rule(shape=shapes)
    def edit_branch(self, shape: Shape) -> None:
        before = published(self.branch)
        self.branch = edited(self.branch, shape, self.promise)
        after = published(self.branch)
        assert {key: owner for key, owner in after.items() if key in before and before[key] != owner} == {}

    @rule()
    def leave_again(self) -> None:
        self.branch = self.main

    @rule()
    def merge(self) -> None:
        """Main stays as it is; what the branch published keeps its number, or another has it and that is told."""
        merged = merge_locks(self.main, self.branch)
        assert is_sound(merged.lock)
        after, told = published(merged.lock), "\n".join(merged.moved)
        for (place, number), owner in published(self.branch).items():
            name = owner.partition(":")[0]
            is_other = after.get((place, number), "").partition(":")[0] != name
            is_given_up = number in retired(merged.lock, place) and number in retired(self.main, place)
            assert not is_other or is_given_up or f"`{place}.{name}` has number" in told
        assert numbers_of(merged.lock) >= numbers_of(self.main) | numbers_of(self.branch)
        again = merge_locks(merged.lock, self.branch)
        assert again.lock.messages.keys() == merged.lock.messages.keys()
        assert published(again.lock) == after, "to merge the same again changes nothing"
        self.main = self.branch = merged.lock

    @invariant()
    def main_never_uses_a_number_for_something_else(self) -> None:
        for key, owner in published(self.main).items():
            assert self.ledger.setdefault(key, owner) == owner
            assert key[1] not in PROTOBUF_NUMBERS
            assert key[0] != ROOT or key[1] not in CONTROL_NUMBERS
        assert is_sound(self.main)
        assert is_sound(self.branch)


def retired(lock: Lock, place: str) -> tuple[int, ...]:
    message, enum = lock.messages.get(place), lock.enums.get(place)
    return (*(message.retired if message else ()), *(enum.retired if enum else ()))


def numbers_of(lock: Lock) -> set[tuple[str, int]]:
    """Every number that was ever used, by place."""
    found = {(place, number) for place, message in lock.messages.items() for number in message.numbers}
    for place, enum in lock.enums.items():
        found |= {(place, number) for number in (*enum.values.values(), *enum.reserved.values(), *enum.retired)}
    return found


TestBranches = Branches.TestCase
TestBranches.settings = settings(
    deadline=None, max_examples=60, stateful_step_count=12, suppress_health_check=[HealthCheck.too_slow]
)


@given(st.sampled_from(PROMISES), st.lists(shapes, min_size=1, max_size=8), shapes)
@settings(deadline=None, max_examples=100)
def test_what_was_there_once_and_returns_with_its_type_has_its_number(
    promise: Promise, edits: list[Shape], last: Shape
) -> None:
    lock, ever = Lock("x", 1), dict[tuple[str, str, str], int]()
    for shape in (*edits, last):
        before = lock
        lock = edited(lock, shape, promise)
        if lock is before:
            continue
        for place, message in lock.messages.items():
            for name, entry in message.fields.items():
                key = (place, name, entry.type)
                if key in ever and ever[key] not in message.retired:
                    assert ever[key] == entry.number
                ever[key] = entry.number


@given(shapes, st.integers(min_value=900, max_value=20_100))
@settings(deadline=None, max_examples=100)
def test_no_new_number_is_a_reserved_one(shape: Shape, last: int) -> None:
    last = 20_000 if last in PROTOBUF_NUMBERS else 1_100 if last in CONTROL_NUMBERS else last
    lock = Lock("x", 1, {place: LockedMessage({}, {}, (last,)) for place in (ROOT, INNER)})
    for place, number in published(edited(lock, shape, Promise.VIEW)):
        if place in (ROOT, INNER):
            assert number > last
            assert number not in PROTOBUF_NUMBERS
        if place == ROOT:
            assert number not in CONTROL_NUMBERS
