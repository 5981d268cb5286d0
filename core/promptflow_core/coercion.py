"""Values made to fit a type: defaults of inputs, what templates yield, what dynamic executors answer."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from promptflow_core.types import (
    EnumType,
    Kind,
    ListType,
    MapType,
    ObjectType,
    ScalarType,
    ValueType,
    spelling,
)
from promptflow_core.values import FileRef, NativeValue

INT64 = range(-(2**63), 2**63)
INT32 = range(-(2**31), 2**31)

MAX_DURATION = timedelta(seconds=315_576_000_000)
"""Ten thousand years either way, as protobuf's Duration has it."""

NOT_JSON: Mapping[Kind, str] = {
    Kind.BYTES: "json has no bytes: give the place the type `bytes`",
    Kind.FILE: "json has no files: `.file_id` names it",
    Kind.TIMESTAMP: "json has no timestamps: `.isoformat()` makes a text of it",
    Kind.DURATION: "json has no durations: `.total_seconds()` makes a number of it",
}
"""Kinds of values that no json can hold, and what to write instead."""

_DURATION = re.compile(r"(?P<amount>\d+(\.\d+)?)(?P<unit>ms|s|m|h|d)")
_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class CoercionError(ValueError):
    """A value that does not fit; `path` leads to it, in the notation of field violations."""

    def __init__(self, message: str, path: str = "") -> None:
        super().__init__(f"{path}: {message}" if path else message)
        self.message = message
        self.path = path


def coerce(value: NativeValue, value_type: ValueType, path: str = "") -> NativeValue:
    """Make `value` one of `value_type` where nothing is lost: 3 for a number, "90s" for a duration; never "3" for 3.

    Objects are projected on the declared fields.

    Raises:
        CoercionError: it does not fit.
    """
    match value_type:
        case ScalarType(scalar=kind):
            return _coerce_scalar(value, kind, path)
        case EnumType(values=values):
            if value not in values:
                raise CoercionError(f"{_shown(value)} is none of {', '.join(values)}", path)
            return value
        case ListType(element=element):
            if not isinstance(value, list | tuple):
                raise _misfit(value, value_type, path)
            items: list[Any] = list(value)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
            return [coerce(item, element, f"{path}[{index}]") for index, item in enumerate(items)]
        case MapType(value=inner):
            if not isinstance(value, Mapping):
                raise _misfit(value, value_type, path)
            entries: Mapping[str, Any] = value  # pyright: ignore[reportUnknownVariableType]
            return {str(key): coerce(item, inner, f"{path}[{key}]") for key, item in entries.items()}
        case ObjectType():
            return _coerce_object(value, value_type, path)


def parse_duration(text: str) -> timedelta:
    """Read `250ms`, `1.5s`, `2m`, `1h` or `1d`.

    Raises:
        ValueError: it is none of these.
    """
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"`{text}` is no duration; write `250ms`, `30s`, `2m`, `1h` or `1d`")
    seconds = float(match["amount"]) * _UNIT_S[match["unit"]]
    if seconds > MAX_DURATION.total_seconds():
        raise ValueError(f"`{text[:32]}` is longer than ten thousand years")
    return timedelta(seconds=seconds)


def _coerce_object(value: NativeValue, value_type: ObjectType, path: str) -> NativeValue:
    if not isinstance(value, Mapping):
        raise _misfit(value, value_type, path)
    given: Mapping[str, Any] = value  # pyright: ignore[reportUnknownVariableType]
    result: dict[str, NativeValue] = {}
    for field in value_type.fields:
        inner = f"{path}.{field.name}" if path else field.name
        if given.get(field.name) is not None:
            result[field.name] = coerce(given[field.name], field.type, inner)
        elif field.required:
            raise CoercionError("value is required", inner)
    return result


def _coerce_scalar(value: NativeValue, kind: Kind, path: str) -> NativeValue:
    fitting = _fit_scalar(value, kind)
    if fitting is None and kind is Kind.JSON and value is not None:
        raise _json_misfit(value, path)
    if fitting is None and kind is not Kind.JSON:
        raise _misfit(value, ScalarType(kind), path)
    if (kind is Kind.INTEGER and fitting not in INT64) or (kind is Kind.INT32 and fitting not in INT32):
        raise CoercionError(f"{fitting} is out of range", path)
    return fitting


def _fit_scalar(value: NativeValue, kind: Kind) -> NativeValue:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    match kind:
        case Kind.STRING:
            return value if isinstance(value, str) else None
        case Kind.BOOLEAN:
            return value if isinstance(value, bool) else None
        case Kind.INTEGER | Kind.INT32:
            return int(value) if is_number and value == value // 1 else None
        case Kind.NUMBER:
            return float(value) if is_number else None
        case Kind.BYTES:
            return bytes(value) if isinstance(value, bytes | bytearray) else None
        case Kind.FILE:
            return value if isinstance(value, FileRef) else None
        case Kind.TIMESTAMP:
            return _fit_timestamp(value)
        case Kind.DURATION:
            return _fit_duration(value)
        case Kind.JSON:
            return _fit_json(value)


def _fit_timestamp(value: NativeValue) -> datetime | None:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if not isinstance(value, datetime):
        return None
    return value if value.tzinfo is not None else value.replace(tzinfo=UTC)


def _fit_duration(value: NativeValue) -> timedelta | None:
    if isinstance(value, timedelta):
        return value if abs(value) <= MAX_DURATION else None
    if not isinstance(value, str):
        return None
    text = value.strip()
    try:
        return -parse_duration(text[1:]) if text.startswith("-") else parse_duration(text)
    except ValueError:
        return None


def _fit_json(value: NativeValue) -> NativeValue:
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return None
    return value


def why_no_json(value: NativeValue) -> str:
    """Why a value that is no list and no map is nothing that a json can hold, and what to write."""
    match value:
        case datetime():
            return NOT_JSON[Kind.TIMESTAMP]
        case timedelta():
            return NOT_JSON[Kind.DURATION]
        case bytes():
            return NOT_JSON[Kind.BYTES]
        case FileRef():
            return NOT_JSON[Kind.FILE]
        case _:
            return f"{_shown(value)} is no json"


def _json_misfit(value: NativeValue, path: str) -> CoercionError:
    """What is wrong with a value that is no json, and where in it."""
    for culprit, place in _leaves(value, path):
        if _fit_json(culprit) is None and culprit is not None:
            return CoercionError(why_no_json(culprit), place)
    return _misfit(value, ScalarType(Kind.JSON), path)


def _leaves(value: NativeValue, path: str) -> Iterator[tuple[NativeValue, str]]:
    match value:
        case Mapping():
            for key, item in value.items():  # pyright: ignore[reportUnknownVariableType]
                yield from _leaves(item, f"{path}[{key}]")
        case list() | tuple():
            for index, item in enumerate(value):  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
                yield from _leaves(item, f"{path}[{index}]")
        case _:
            yield value, path


def _misfit(value: NativeValue, value_type: ValueType, path: str) -> CoercionError:
    return CoercionError(f"{_shown(value)} is no {spelling(value_type)}", path)


def _shown(value: NativeValue) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"
