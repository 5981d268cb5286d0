"""Which types can stand in for which."""

from __future__ import annotations

import pytest

from promptflow_codegen.check.fit import can_fit, in_json
from promptflow_core.type_syntax import parse_type

FITS = (
    ("string", "string", True),
    ("string", "timestamp", True),
    ("string", "enum", True),
    ("string", "integer", False),
    ("string", "boolean", False),
    ("string", "file", False),
    ("integer", "number", True),
    ("number", "int32", True),
    ("integer", "string", False),
    ("boolean", "integer", False),
    ("enum", "string", True),
    ("enum", "integer", False),
    ("json", "file", True),
    ("json", "string[]", True),
    ("object", "json", True),
    ("string[]", "json", True),
    ("file", "json", False),
    ("timestamp", "json", False),
    ("file", "file", True),
    ("bytes", "string", False),
    ("integer[]", "number[]", True),
    ("string[]", "number[]", False),
    ("string[]", "string", False),
    ("map<integer>", "map<number>", True),
    ("map<integer>", "map<string>", False),
    ("object", "map<string>", True),
    ("object", "map<number>", False),
    ("map<string>", "object", True),
    ("object", "object", True),
    ("object", "string", False),
)


@pytest.mark.parametrize(("given", "wanted", "expected"), FITS)
def test_a_type_fits_where_some_value_of_it_does(given: str, wanted: str, expected: bool) -> None:
    fields = [{"name": "a", "type": "string", "required": True}]

    def parse(text: str) -> object:
        return parse_type(text, fields=fields, values=["x", "y"])

    assert can_fit(parse(given), parse(wanted)) is expected  # type: ignore[arg-type]


def test_an_object_without_a_required_field_fits_no_object_that_asks_for_it() -> None:
    given = parse_type("object", fields=[{"name": "a", "type": "string"}])
    for fields, expected in (
        ([{"name": "a", "type": "string", "required": True}, {"name": "b"}], True),
        ([{"name": "b", "type": "string", "required": True}], False),
        ([{"name": "a", "type": "number"}], False),
    ):
        assert can_fit(given, parse_type("object", fields=fields)) is expected


def test_an_enum_fits_another_that_has_all_its_values() -> None:
    assert can_fit(parse_type("enum", values=["a", "b"]), parse_type("enum", values=["b", "c", "a"]))
    assert not can_fit(parse_type("enum", values=["a", "b"]), parse_type("enum", values=["b", "c"]))
    assert not can_fit(parse_type("enum", values=["a"]), parse_type("enum", values=["c"]))


def test_a_json_holds_nothing_that_has_a_time_a_file_or_bytes_in_it() -> None:
    json = parse_type("json")
    for kind in ("timestamp", "duration", "bytes", "file"):
        for spelled in (kind, f"{kind}[]", f"map<{kind}>"):
            assert not can_fit(parse_type(spelled), json), spelled
        inner = parse_type("object[]", fields=[{"name": "a"}, {"name": "b", "type": kind}])
        found = in_json(inner)
        assert found is not None and found.path == "[0].b"
        assert not can_fit(inner, json)
