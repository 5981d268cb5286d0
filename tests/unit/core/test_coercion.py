"""What fits a type, and what must not be bent until it does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from promptflow_core.coercion import CoercionError, coerce, parse_duration
from promptflow_core.type_syntax import parse_field
from promptflow_core.values import FileRef

FILE = FileRef("run/abc", "image/png", "page.png", 3)
PERSON = {"fields": [{"name": "name", "type": "string", "required": True}, {"name": "age", "type": "int32"}]}

FITTING: list[tuple[str, Any, Any]] = [
    ("string", "", ""),
    ("integer", 3, 3),
    ("integer", 3.0, 3),
    ("int32", -(2**31), -(2**31)),
    ("number", 3, 3.0),
    ("boolean", False, False),
    ("bytes", b"\0", b"\0"),
    ("file", FILE, FILE),
    ("timestamp", "2031-01-31T12:00:00+00:00", datetime(2031, 1, 31, 12, tzinfo=UTC)),
    ("timestamp", datetime(2031, 1, 31, 12, tzinfo=UTC).replace(tzinfo=None), datetime(2031, 1, 31, 12, tzinfo=UTC)),
    ("duration", "1.5s", timedelta(seconds=1.5)),
    ("duration", "-1.5s", timedelta(seconds=-1.5)),
    ("json", {"a": [1, None]}, {"a": [1, None]}),
    ("json", None, None),
    ("string[]", ("a", "b"), ["a", "b"]),
    ("map<integer>", {"a": 1}, {"a": 1}),
    ("object", {"name": "Ada", "extra": 1}, {"name": "Ada"}),
    ("object", {"name": "Ada", "age": None}, {"name": "Ada"}),
    ("enum", "red", "red"),
]


@pytest.mark.parametrize(("spelled", "given", "expected"), FITTING)
def test_a_value_that_loses_nothing_is_taken(spelled: str, given: Any, expected: Any) -> None:
    assert coerce(given, _type(spelled)) == expected
    assert type(coerce(given, _type(spelled))) is type(expected)


MISFITS: list[tuple[str, Any, str]] = [
    ("string", 3, "3 is no string"),
    ("integer", "3", "'3' is no integer"),
    ("integer", True, "True is no integer"),
    ("integer", 3.5, "3.5 is no integer"),
    ("integer", float("nan"), "nan is no integer"),
    ("integer", 2**63, f"{2**63} is out of range"),
    ("int32", 2**31, f"{2**31} is out of range"),
    ("number", True, "True is no number"),
    ("boolean", 0, "0 is no boolean"),
    ("bytes", "x", "'x' is no bytes"),
    ("file", {"file_id": "x"}, "{'file_id': 'x'} is no file"),
    ("timestamp", "yesterday", "'yesterday' is no timestamp"),
    ("duration", "soon", "'soon' is no duration"),
    ("duration", "315576000001s", "'315576000001s' is no duration"),
    ("duration", "-315576000001s", "'-315576000001s' is no duration"),
    ("duration", timedelta(days=4_000_000), "datetime.timedelta(days=4000000) is no duration"),
    ("json", {"a": b"x"}, "[a]: json has no bytes: give the place the type `bytes`"),
    ("json", datetime(2020, 1, 1, tzinfo=UTC), "json has no timestamps: `.isoformat()` makes a text of it"),
    (
        "json",
        {"a": [1, None, {"b": timedelta(1)}]},
        "[a][2][b]: json has no durations: `.total_seconds()` makes a number of it",
    ),
    ("json", [FileRef("x")], "[0]: json has no files: `.file_id` names it"),
    ("json", {("a", 1): 1}, "{('a', 1): 1} is no json"),
    ("string[]", "ab", "'ab' is no string[]"),
    ("string[]", ["a", 1], "[1]: 1 is no string"),
    ("map<integer>", {"a": "x"}, "[a]: 'x' is no integer"),
    ("object", {"age": 3}, "name: value is required"),
    ("object", {"name": "Ada", "age": "x"}, "age: 'x' is no int32"),
    ("enum", "Red", "'Red' is none of red, green"),
    ("string", None, "None is no string"),
]


@pytest.mark.parametrize(("spelled", "given", "told"), MISFITS)
def test_a_value_that_does_not_fit_is_refused_with_its_place(spelled: str, given: Any, told: str) -> None:
    with pytest.raises(CoercionError) as caught:
        coerce(given, _type(spelled))
    assert str(caught.value) == told


@pytest.mark.parametrize(
    ("text", "seconds"), [("250ms", 0.25), ("1.5s", 1.5), ("2m", 120), ("1h", 3600), ("1d", 86400)]
)
def test_a_duration_is_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "5", "-1s", "1 s", "1w", "s", "1e9s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no duration"):
        parse_duration(text)


def _type(spelled: str) -> Any:
    entry: dict[str, Any] = {"name": "x", "type": spelled}
    if spelled == "object":
        entry |= PERSON
    if spelled == "enum":
        entry["values"] = ["red", "green"]
    return parse_field(entry).type
