"""Examples fit what they are examples of, or are not there."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from promptflow_codegen.emit.openapi.examples import NoExampleError, example_of

FITTING: dict[str, dict[str, Any]] = {
    "a text": {"type": "string"},
    "a long text": {"type": "string", "minLength": 100, "maxLength": 101},
    "a short text": {"type": "string", "maxLength": 2},
    "capitals": {"type": "string", "pattern": "^[A-Z]"},
    "digits": {"type": "string", "pattern": r"^\d{5}$"},
    "one of": {"type": ["string", "null"], "enum": ["x", None]},
    "bytes": {"type": "string", "contentEncoding": "base64", "minLength": 4},
    "many bytes": {"type": "string", "contentEncoding": "base64", "minLength": 134},
    "one byte": {"type": "string", "contentEncoding": "base64", "minLength": 2, "maxLength": 6},
    "a bounded number": {"type": "number", "minimum": 7, "maximum": 8},
    "a large integer": {"type": "integer", "format": "int64", "minimum": 2**40},
    "a list": {"type": "array", "items": {"type": "string"}, "minItems": 3},
}
UNGUESSED: dict[str, dict[str, Any]] = {
    "a pattern of its own": {"type": "string", "pattern": "^xyzzy-[0-9]{7}$"},
    "a pattern that Python does not know": {"type": "string", "pattern": r"^\pN\z"},
    "a field of one": {
        "type": "object",
        "required": ["code"],
        "properties": {"code": {"type": "string", "pattern": "^xyzzy$"}},
    },
}


@pytest.mark.parametrize("schema", FITTING.values(), ids=FITTING.keys())
def test_an_example_fits_its_schema(schema: dict[str, Any]) -> None:
    example = example_of(schema, {})
    assert list(Draft202012Validator(schema).iter_errors(example)) == []


@pytest.mark.parametrize("schema", UNGUESSED.values(), ids=UNGUESSED.keys())
def test_where_no_value_can_be_guessed_there_is_none(schema: dict[str, Any]) -> None:
    with pytest.raises(NoExampleError):
        example_of(schema, {})
