"""Scalars as JSON and forms spell them, with what to write instead where they do not fit.

They are those of protobuf's JSON, and more where people write otherwise: enums without regard to case, durations as in
YAML. A value that a form has read already (text to bytes, an upload to a file) passes as it is.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any

from pydantic_core import PydanticCustomError

from promptflow_core.coercion import INT32, INT64, CoercionError, coerce
from promptflow_core.types import SCALARS, Kind
from promptflow_core.values import FileRef, NativeValue
from promptflow_server.services.codec import RemoteFile, Upload
from promptflow_server.services.json_values import plain_json

_INTEGER = re.compile(r"-?\d{1,19}")
_FILE_SOURCES = ("content", "file_id", "uri")
_FILE_KEYS = frozenset({*_FILE_SOURCES, "content_type", "name"})
_WRITE_FILE = '`{"content": "<base64>", "content_type": "…", "name": "…"}`, or send the file as multipart/form-data'


def misfit(message: str) -> PydanticCustomError:
    """A mistake in the caller's words; braces in it are no placeholders."""
    return PydanticCustomError("misfit", "{message}", {"message": message})


def shown(value: object) -> str:
    """What kind of JSON value something is, for people."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case list():
            return "a list"
        case _:
            return "an object"


def enum_form(values: tuple[str, ...]) -> Callable[[Any], str]:
    """Reads one of `values`, in any case."""
    by_folded = {value.casefold(): value for value in values}

    def read(value: Any) -> str:
        found = by_folded.get(value.casefold()) if isinstance(value, str) else None
        if found is None:
            raise misfit(f"must be one of {', '.join(values)}{suggestion(value, values)}")
        return found

    return read


def suggestion(given: object, known: tuple[str, ...]) -> str:
    """`; did you mean …?` where something close is known."""
    close = get_close_matches(str(given)[:64].casefold(), [name.casefold() for name in known], n=1)
    name = next((name for name in known if close and name.casefold() == close[0]), None)
    return f"; did you mean `{name}`?" if name is not None else ""


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise misfit(f"must be text, not {shown(value)}")
    return value


def _integer(value: Any, bounds: range) -> int:
    # int64 is a string in protobuf's JSON, so what a result says may come back as an input.
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1:
        raise misfit(f"must be a whole number, not {shown(value)}")
    if int(value) not in bounds:
        raise misfit(f"must lie between {bounds.start} and {bounds.stop - 1}")
    return int(value)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise misfit(f"must be a number, not {shown(value)}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise misfit("must be a number that a double holds")
    return number


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise misfit(f"must be true or false, not {shown(value)}")
    return value


def _bytes(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        raise misfit(f"must be base64 text, not {shown(value)}")
    # Both alphabets, padded or not, as protobuf's JSON takes them.
    text = value.rstrip("=").translate(_TO_STANDARD)
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise misfit("is no base64") from None


def _file(value: Any) -> Upload | FileRef | RemoteFile:
    if isinstance(value, Upload | FileRef):
        return value
    if not isinstance(value, Mapping):
        raise misfit(f"must be a file, not {shown(value)}: write {_WRITE_FILE}")
    fields: Mapping[str, Any] = value  # pyright: ignore[reportUnknownVariableType]
    unknown = sorted(fields.keys() - _FILE_KEYS)
    if unknown:
        raise misfit(f"a file has no `{unknown[0][:64]}`{suggestion(unknown[0], tuple(sorted(_FILE_KEYS)))}")
    sources = [source for source in _FILE_SOURCES if fields.get(source) is not None]
    if len(sources) > 1:
        raise misfit(f"has both `{sources[0]}` and `{sources[1]}`; give one")
    texts = {key: _string(fields[key]) for key in _FILE_KEYS if key != "content" and fields.get(key) is not None}
    content_type, name = texts.get("content_type", ""), texts.get("name", "")
    match sources:
        case ["file_id"]:
            return FileRef(texts["file_id"], content_type, name)
        case ["uri"]:
            return RemoteFile(texts["uri"], content_type, name)
        case _:
            return Upload(_bytes(fields.get("content") or ""), content_type, name)


def _by_core(kind: Kind, example: str) -> Callable[[Any], NativeValue]:
    def read(value: Any) -> NativeValue:
        try:
            return coerce(value, SCALARS[kind])
        except (CoercionError, OverflowError):
            raise misfit(f"must be a {kind} such as `{example}`") from None

    return read


_TO_STANDARD = str.maketrans("-_", "+/")

FORMS: Mapping[Kind, Callable[[Any], Any]] = {
    Kind.STRING: _string,
    Kind.INTEGER: lambda value: _integer(value, INT64),
    Kind.INT32: lambda value: _integer(value, INT32),
    Kind.NUMBER: _number,
    Kind.BOOLEAN: _boolean,
    Kind.BYTES: _bytes,
    Kind.FILE: _file,
    Kind.TIMESTAMP: _by_core(Kind.TIMESTAMP, "2031-01-31T12:00:00Z"),
    Kind.DURATION: _by_core(Kind.DURATION, "1.5s"),
    Kind.JSON: plain_json,
}
"""How each kind of scalar is read; raises PydanticCustomError."""

STAND_INS: Mapping[Kind, Any] = {
    Kind.STRING: "",
    Kind.INTEGER: 0,
    Kind.INT32: 0,
    Kind.NUMBER: 0.0,
    Kind.BOOLEAN: False,
    Kind.BYTES: b"",
    Kind.FILE: {},
    Kind.TIMESTAMP: "1970-01-01T00:00:00Z",
    Kind.DURATION: "0s",
    Kind.JSON: None,
}
"""A value of each kind that its form reads."""
