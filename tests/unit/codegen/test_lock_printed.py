"""A lock that is read line by line is the lock that YAML reads, or is left to YAML."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptflow_codegen.diagnostics import Report
from promptflow_codegen.lock import Lock, LockedEnum, LockedField, LockedMessage
from promptflow_codegen.lock_file import parse_lock, print_lock
from promptflow_codegen.lock_printed import read_printed

names = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True) | st.sampled_from(["on", "no", "null", "true", "y"])
owners = st.from_regex(r"[A-Z][a-z]{0,5}(\.[A-Z][a-z]{0,5})?", fullmatch=True)
texts = st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=12)
bounds: st.SearchStrategy[Any] = st.integers(-5, 10**12) | st.sampled_from([0.5, -2.25, True]) | texts
constraints = st.dictionaries(
    st.sampled_from(["min", "max", "pattern", "values"]), bounds | st.lists(bounds, max_size=3), max_size=3
)
types = st.sampled_from(["optional string", "repeated X", "map<string, .google.protobuf.Value>"])


@st.composite
def locked_messages(draw: st.DrawFn) -> LockedMessage:
    known = draw(st.dictionaries(names, st.tuples(types, st.booleans(), st.booleans(), constraints), max_size=5))
    fields = {
        name: LockedField(number, kind, is_required, bounds, has_default)
        for number, (name, (kind, is_required, has_default, bounds)) in enumerate(known.items(), start=1)
    }
    cut = draw(st.integers(0, len(fields)))
    items = list(fields.items())
    return LockedMessage(dict(items[:cut]), dict(items[cut:]), tuple(draw(st.sets(st.integers(50, 60), max_size=2))))


locked_enums = st.builds(
    LockedEnum,
    st.lists(names, unique=True, max_size=4).map(lambda values: {name: place + 1 for place, name in enumerate(values)}),
    st.just({}),
    st.sets(st.integers(50, 60), max_size=2).map(tuple),
)
locks = st.builds(
    Lock,
    st.just("mail"),
    st.integers(1, 30),
    st.dictionaries(owners, locked_messages(), max_size=4),
    st.dictionaries(owners, locked_enums, max_size=2),
)


@given(locks)
def test_every_printed_lock_is_read_as_what_yaml_reads(lock: Lock) -> None:
    text, report = print_lock(lock), Report("")
    assert read_printed(text) == lock
    # A comment makes it another text, which only YAML reads.
    by_yaml = parse_lock(f"{text}# \n".encode(), flow="mail", version=lock.version, report=report)
    assert (by_yaml, report.diagnostics) == (lock, ())


EDITS = {
    "another number": ("number: 1,", "number: 7,"),
    "another type": ("optional string", "optional int64"),
    "another bound": ("min: 3", "min: 2"),
    "required no more": (", required: true", ""),
    "another value": ("red: 1", "red: 2"),
    "a lost digest": ("digest: ", "digest: 0"),
}
MAIL = Lock(
    "mail",
    1,
    {"ExecuteRequest": LockedMessage({"text": LockedField(1, "optional string", True, {"min": 3})})},
    {"ExecuteRequest.Color": LockedEnum({"red": 1})},
)


@pytest.mark.parametrize("name", EDITS)
def test_what_was_edited_is_damage_however_it_is_read(name: str) -> None:
    text, report = print_lock(MAIL), Report("")
    edited = text.replace(*EDITS[name])
    assert edited != text
    assert parse_lock(edited.encode(), flow="mail", version=1, report=report) is None
    assert [found.code for found in report.diagnostics] == ["damaged-lock"]
