"""Documents of `json` fields: google.protobuf.Value as native values and back."""

from __future__ import annotations

import math
from collections.abc import Mapping

from promptflow_core.coercion import CoercionError
from promptflow_core.values import NativeValue
from promptflow_server.services.contracts import Message

MAX_JSON_DEPTH = 24
"""Deeper `json` would not survive the way back: parsers stop at 100 levels of messages, an object takes three."""

_EXACT = 2**53


def decode_json(value: Message, path: str = "", depth: int = 0) -> NativeValue:
    """A google.protobuf.Value as a native value; whole numbers come back as integers.

    Raises:
        CoercionError: it holds NaN or infinity, or nests too deep.
    """
    if depth > MAX_JSON_DEPTH:
        raise CoercionError(f"nests deeper than {MAX_JSON_DEPTH} levels", path)
    match value.WhichOneof("kind"):
        case "number_value":
            return _decode_number(value.number_value, path)
        case "string_value":
            return str(value.string_value)
        case "bool_value":
            return bool(value.bool_value)
        case "struct_value":
            fields: Mapping[str, Message] = value.struct_value.fields
            return {key: decode_json(item, f"{path}.{key}", depth + 1) for key, item in fields.items()}
        case "list_value":
            items = enumerate(value.list_value.values)
            return [decode_json(item, f"{path}[{index}]", depth + 1) for index, item in items]
        case _:
            return None


def plain_json(native: NativeValue) -> NativeValue:
    """A JSON document as it comes back from a google.protobuf.Value: whole numbers up to 2^53 are integers, all others
    floats. A number that no double holds stays, for `encode_json` to refuse.
    """
    match native:
        case bool():
            return native
        case int() | float():
            return _plain_number(native)
        case Mapping():
            entries: Mapping[str, NativeValue] = native  # pyright: ignore[reportUnknownVariableType]
            return {key: plain_json(item) for key, item in entries.items()}
        case list():
            return [plain_json(item) for item in native]  # pyright: ignore[reportUnknownVariableType]
        case _:
            return native


def encode_json(native: NativeValue, value: Message, path: str = "", depth: int = 0) -> None:
    """Fill a google.protobuf.Value.

    Raises:
        CoercionError: JSON has no such value, or it nests too deep.
    """
    if depth > MAX_JSON_DEPTH:
        raise CoercionError(f"nests deeper than {MAX_JSON_DEPTH} levels", path)
    match native:
        case None:
            value.null_value = 0
        case bool():
            value.bool_value = native
        case int() | float():
            value.number_value = _finite(native, path)
        case str():
            value.string_value = native
        case Mapping():
            value.struct_value.SetInParent()
            entries: Mapping[str, NativeValue] = native  # pyright: ignore[reportUnknownVariableType]
            for key, item in entries.items():
                encode_json(item, value.struct_value.fields[key], f"{path}.{key}", depth + 1)
        case list() | tuple():
            value.list_value.SetInParent()
            items: list[NativeValue] = list(native)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
            for index, item in enumerate(items):
                encode_json(item, value.list_value.values.add(), f"{path}[{index}]", depth + 1)
        case _:
            raise CoercionError(f"{type(native).__name__} is no JSON value", path)


def _decode_number(number: float, path: str) -> int | float:
    return _plain_number(_finite(number, path))


def _plain_number(number: float) -> int | float:
    if abs(number) <= _EXACT:
        return int(number) if number == number // 1 else number
    try:
        return float(number)
    except OverflowError:
        return number


def _finite(number: float, path: str) -> float:
    try:
        is_finite = math.isfinite(number)
    except OverflowError:
        raise CoercionError("must be a number that a double holds", path) from None
    if not is_finite:
        raise CoercionError(f"{number} is no JSON number", path)
    return number
