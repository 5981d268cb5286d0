"""Defaults apply to absence alone, wherever a field lies."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from promptflow_core.defaults import with_defaults
from promptflow_core.types import SCALARS, FieldType, ListType, MapType, ObjectType

INNER = ObjectType(
    (
        FieldType("text", SCALARS["string"], default="x"),
        FieldType("wait", SCALARS["duration"], default="2s"),
        FieldType("note", SCALARS["string"]),
        FieldType("tags", ListType(SCALARS["string"]), default=["a"]),
        FieldType("any", SCALARS["json"], default={"k": 1}),
    )
)
FULL: dict[str, Any] = {"text": "x", "wait": timedelta(seconds=2), "tags": ["a"], "any": {"k": 1}}
OUTER = ObjectType(
    (
        FieldType("one", INNER),
        FieldType("many", ListType(INNER)),
        FieldType("named", MapType(INNER)),
        FieldType("given", INNER, default={"text": "y"}),
    )
)
ABSENT: dict[str, Any] = {"given": {**FULL, "text": "y"}}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, {}),
        ({"one": {}}, {"one": FULL}),
        ({"one": {"text": "", "wait": timedelta(0)}}, {"one": {**FULL, "text": "", "wait": timedelta(0)}}),
        ({"one": {"text": None, "tags": []}}, {"one": FULL}),
        ({"one": {"any": None}}, {"one": {**FULL, "any": None}}),
        ({"many": [{}, {"note": "n"}]}, {"many": [FULL, {**FULL, "note": "n"}]}),
        ({"named": {"k": {"text": "z"}}}, {"named": {"k": {**FULL, "text": "z"}}}),
        ({"many": [], "named": {}}, {"many": [], "named": {}}),
        ({"given": {}}, {"given": FULL}),
    ],
)
def test_what_is_absent_has_its_default(values: dict[str, Any], expected: dict[str, Any]) -> None:
    before = repr(values)
    assert with_defaults(values, OUTER) == {**ABSENT, **expected}
    assert repr(values) == before, "what was given is not written to"
