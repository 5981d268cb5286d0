"""Example values that fit their schemas, the same for equal schemas."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any

from promptflow_codegen.emit.openapi.schemas import Schema

EXECUTION_ID = "0197a1f0-3c5e-7a8b-9c0d-1e2f3a4b5c6d"

_REF = "#/components/schemas/"
_MAX_DEPTH = 8
_OTHER_TEXTS = ("a", "A", "Ab", "A1", "1", "12345", "AB-123", "en-US", "a@b.example", "2026-01-31", EXECUTION_ID)
"""What patterns often ask for."""

_BY_FORMAT: Mapping[str, Any] = {"date-time": "2026-01-31T12:00:00Z", "int64": 42, "binary": "(a file)"}
_BY_NAME: Mapping[str, Any] = {"text": "I love this!", "execution_id": EXECUTION_ID, "sequence": 1, "label": "positive"}


class NoExampleError(Exception):
    """A value that fits is not to be guessed: a text has to match a pattern."""


def example_of(
    schema: Schema, components: Mapping[str, Schema], *, name: str = "", is_whole: bool = False, depth: int = 0
) -> Any:
    """A value that fits; of objects the required fields, all of them where `is_whole`.

    `name`, the field's, makes it look at home.

    Raises:
        NoExampleError: none was found.
    """
    schema = _resolved(schema, components)
    told = [schema[key] for key in ("default", "const", "example") if key in schema]
    if told:
        return told[0]
    listed: list[Any] = schema.get("enum") or schema.get("examples") or []
    if listed:
        return next((value for value in listed if value != "VALUE_UNSPECIFIED"), listed[0])
    kind: Any = schema.get("type")
    match kind[0] if isinstance(kind, list) else kind:  # pyright: ignore[reportUnknownVariableType]
        case "object":
            return _object(schema, components, is_whole=is_whole, depth=depth)
        case "array":
            wanted = max(1, schema.get("minItems", 1)) if depth < _MAX_DEPTH else 0
            single = example_of(schema.get("items", {}), components, name=name, is_whole=is_whole, depth=depth + 1)
            return [single] * wanted
        case None:
            return {}
        case scalar:  # pyright: ignore[reportUnknownVariableType]
            return _scalar(str(scalar), schema, name)  # pyright: ignore[reportUnknownArgumentType]


def _scalar(kind: str, schema: Schema, name: str) -> Any:
    if kind == "string":
        return _text(schema, name)
    return True if kind == "boolean" else _number(schema, name)


def _resolved(schema: Schema, components: Mapping[str, Schema]) -> Schema:
    if "$ref" in schema:
        return components[str(schema["$ref"]).removeprefix(_REF)]
    if "allOf" in schema:
        merged: Schema = {}
        for part in schema["allOf"]:
            merged |= _resolved(part, components)
        return merged | {key: value for key, value in schema.items() if key != "allOf"}
    return schema


def _object(schema: Schema, components: Mapping[str, Schema], *, is_whole: bool, depth: int) -> dict[str, Any]:
    properties: Mapping[str, Schema] = schema.get("properties", {})
    required = schema.get("required", [])
    arms = [arm["required"][0] for arm in schema.get("oneOf", ())]
    names = [name for name in properties if name in required or (is_whole and depth < _MAX_DEPTH and name not in arms)]
    names += arms[:1]
    found = {
        name: example_of(properties[name], components, name=name, is_whole=is_whole, depth=depth + 1) for name in names
    }
    extra: Schema | bool = schema.get("additionalProperties", False)
    if not properties and not isinstance(extra, bool) and is_whole:
        found["key"] = example_of(extra, components, is_whole=is_whole, depth=depth + 1)
    return found


def _text(schema: Schema, name: str) -> str:
    if schema.get("format") == "int64":
        return "42"
    if schema.get("contentEncoding") == "base64":
        return _base64(schema)
    usual = str(_BY_NAME.get(name, _BY_FORMAT.get(schema.get("format", ""), name or "text")))
    least = schema.get("minLength", 0)
    for text in (usual, *_OTHER_TEXTS):
        fitted = (text * (least // len(text) + 1) if len(text) < least else text)[: schema.get("maxLength")]
        if _matches(fitted, schema.get("pattern")):
            return fitted
    raise NoExampleError(name)


def _base64(schema: Schema) -> str:
    """The least that is asked for, or `hello` where that fits."""
    least = schema.get("minLength", 0) * 3 // 4
    size = max(least, 1) if least > 5 or schema.get("maxLength", 8) < 8 else 5
    return base64.b64encode((b"hello" * (size // 5 + 1))[:size]).decode()


def _matches(text: str, pattern: str | None) -> bool:
    try:
        return pattern is None or re.search(pattern, text) is not None
    except re.error:
        # RE2 knows a little that Python does not.
        return False


def _number(schema: Schema, name: str) -> Any:
    value = _BY_NAME.get(name, 1 if schema.get("type") == "integer" else 0.5)
    if schema.get("format") == "int64":
        value = 42
    value = max(value, schema.get("minimum", value))
    return min(value, schema.get("maximum", value))
