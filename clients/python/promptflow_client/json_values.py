"""JSON values and their message form, google.protobuf.Value."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from google.protobuf.struct_pb2 import Struct, Value

if TYPE_CHECKING:
    Json: TypeAlias = bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"] | None
else:
    # Annotations of generated classes are evaluated, and a recursive alias is more than that can do.
    Json = Any

MAX_DEPTH = 24
"""Deeper values would not survive: parsers of messages stop at 100 levels, and one level of JSON takes three."""

_EXACT = 2**53


class JsonError(ValueError):
    """A Python value that JSON, or its message form, cannot hold; `path` leads to it."""

    def __init__(self, message: str, path: str) -> None:
        super().__init__(message)
        self.message = message
        self.path = path


def encode_json(native: object, value: Value, path: str = "", depth: int = 0) -> None:
    """Fill `value`.

    Raises:
        JsonError: something in `native` has no place in it, or would not come back as it went.
    """
    if depth > MAX_DEPTH:
        raise JsonError(f"nests deeper than {MAX_DEPTH} levels", path)
    match native:
        case None:
            value.null_value = 0  # type: ignore[assignment]
        case bool():
            value.bool_value = native
        case int() | float():
            value.number_value = _number(native, path)
        case str():
            value.string_value = native
        case Mapping():
            _encode_struct(cast("Mapping[Any, object]", native), value, path, depth)
        case list() | tuple():
            value.list_value.SetInParent()
            for index, item in enumerate(cast("Sequence[object]", native)):
                encode_json(item, value.list_value.values.add(), f"{path}[{index}]", depth + 1)
        case _:
            raise JsonError(f"{type(native).__name__} is no JSON value", path)


def decode_json(value: Value) -> Json:
    """A message as a JSON value; whole numbers come back as int, as they went."""
    match value.WhichOneof("kind"):
        case "bool_value":
            return value.bool_value
        case "number_value":
            number = value.number_value
            return int(number) if number.is_integer() and abs(number) <= _EXACT else number
        case "string_value":
            return value.string_value
        case "struct_value":
            return decode_struct(value.struct_value)
        case "list_value":
            return [decode_json(item) for item in value.list_value.values]
        case _:
            return None


def decode_struct(value: Struct) -> Mapping[str, Json]:
    """A message as a JSON object."""
    return {key: decode_json(item) for key, item in value.fields.items()}


def _encode_struct(native: Mapping[Any, object], value: Value, path: str, depth: int) -> None:
    value.struct_value.SetInParent()
    for key, item in native.items():
        if not isinstance(key, str):
            raise JsonError(f"the key {key!r} is no text", path)
        encode_json(item, value.struct_value.fields[key], f"{path}.{key}", depth + 1)


def _number(number: float, path: str) -> float:
    if isinstance(number, int) and abs(number) > _EXACT:
        raise JsonError(f"{number} is beyond 2^53 and would lose digits; send it as text", path)
    if not math.isfinite(number):
        raise JsonError(f"{number} is no JSON number", path)
    return float(number)
