"""Types as people spell them, and what is told where they are misspelt."""

from __future__ import annotations

from typing import Any

import pytest

from promptflow_core.type_syntax import TypeSyntaxError, parse_field, parse_fields, parse_type
from promptflow_core.types import SCALARS, ListType, MapType, ObjectType, spelling


@pytest.mark.parametrize("name", SCALARS)
def test_every_scalar_is_spelled_as_it_is_called(name: str) -> None:
    assert spelling(parse_type(name)) == name
    assert parse_type(f"{name}[]") == ListType(SCALARS[name])
    assert parse_type(f"map<{name}>") == MapType(SCALARS[name])


def test_an_object_nests() -> None:
    inner = {"name": "inner", "type": "object", "fields": [{"name": "leaf", "type": "integer[]"}]}
    outer = parse_field({"name": "outer", "type": "object[]", "fields": [inner]})
    assert isinstance(outer.type, ListType)
    assert isinstance(outer.type.element, ObjectType)
    field = outer.type.element.field("inner")
    assert field is not None
    assert isinstance(field.type, ObjectType)
    leaf = field.type.field("leaf")
    assert leaf is not None
    assert spelling(leaf.type) == "integer[]"


MISTAKES: list[tuple[dict[str, Any], str, tuple[str | int, ...]]] = [
    ({"name": "a", "type": "strng"}, "unknown type `strng`", ("type",)),
    ({"name": "a", "type": 3}, "a type is a word", ("type",)),
    ({"name": "a", "type": "string[][]"}, "do not nest", ("type",)),
    ({"name": "a", "type": "map<string[]>"}, "do not nest", ("type",)),
    ({"name": "a", "type": "object"}, "at least one field", ("fields",)),
    ({"name": "a", "type": "object", "fields": []}, "at least one field", ("fields",)),
    ({"name": "a", "type": "object", "fields": [{"name": "b", "type": "x"}]}, "unknown type", ("fields", 0, "type")),
    ({"name": "a", "type": "enum"}, "lists its `values`", ("values",)),
    ({"name": "a", "type": "enum", "values": ["x", "X"]}, "collides with", ("values", 1)),
    ({"name": "a", "type": "enum", "values": [True]}, "is no text", ("values", 0)),
    ({"name": "a", "type": "enum", "values": ["en-US"]}, "cannot be an enum value", ("values", 0)),
    ({"name": "A", "type": "string"}, "is not a name", ("name",)),
    ({"name": "a_1", "type": "string"}, "is not a name", ("name",)),
    ({"type": "string"}, "is not a name", ("name",)),
    ({"name": "a", "required": "yes"}, "neither true nor false", ("required",)),
    ({"name": "a", "min_length": "x"}, "is a number", ("min_length",)),
    ({"name": "a", "pattern": "("}, "no regular expression", ("pattern",)),
    ({"name": "a", "values": 5}, "is a list", ("values",)),
    ({"name": "a", "values": []}, "lists nothing", ("values",)),
    ({"name": "a", "type": "string[]", "items": {"values": []}}, "lists nothing", ("items", "values")),
]


@pytest.mark.parametrize(("entry", "told", "path"), MISTAKES)
def test_a_mistake_is_told_with_its_place(entry: dict[str, Any], told: str, path: tuple[str | int, ...]) -> None:
    with pytest.raises(TypeSyntaxError) as caught:
        parse_field(entry)
    assert told in str(caught.value)
    assert caught.value.path == path


def test_names_that_are_one_in_json_are_refused() -> None:
    with pytest.raises(TypeSyntaxError, match="collides"):
        parse_fields([{"name": "ab"}, {"name": "a_b"}])


def test_a_type_without_end_is_refused() -> None:
    entry: dict[str, Any] = {"name": "leaf"}
    for _ in range(100):
        entry = {"name": "node", "type": "object", "fields": [entry]}
    with pytest.raises(TypeSyntaxError, match="at most"):
        parse_field(entry)
