"""A body as JSON, read strictly: what two readers could take differently is refused with its position.

Duplicate keys, NaN, numbers that no double holds, unpaired surrogates and nesting without end are mistakes here.
"""

from __future__ import annotations

import json
import re
from typing import Any

from promptflow_core.errors import FlowError, Reason

MAX_DEPTH = 32
MAX_DIGITS = 400

_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}:,]|[^\s"\[\]{}:,]+', re.DOTALL)
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class _SuspectError(ValueError):
    """Something that the parser accepts and we do not; where it is, `_find_mistake` tells."""


def parse_json(data: bytes) -> Any:
    """The document in a body.

    Raises:
        FlowError: MALFORMED_REQUEST, with line and column.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FlowError(
            Reason.MALFORMED_REQUEST, f"the body is no UTF-8 at byte {error.start}; encode it as UTF-8"
        ) from None
    try:
        document = json.loads(
            text, object_pairs_hook=_unique, parse_constant=_refuse, parse_float=_finite, parse_int=_bounded
        )
    except json.JSONDecodeError as error:
        raise _malformed(text, error.pos, error.msg) from None
    except (_SuspectError, RecursionError):
        raise _find_mistake(text) from None
    if text.count("[") + text.count("{") > MAX_DEPTH or _SURROGATE.search(text):
        _check_tokens(text)
    return document


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _SuspectError
    return found


def _refuse(constant: str) -> float:
    raise _SuspectError(constant)


def _finite(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise _SuspectError
    return number


def _bounded(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise _SuspectError
    return int(text)


def _find_mistake(text: str) -> FlowError:
    try:
        _check_tokens(text)
    except FlowError as mistake:
        return mistake
    return FlowError(Reason.MALFORMED_REQUEST, "the body is no JSON that this server reads")


def _check_tokens(text: str) -> None:
    frames: list[set[str] | None] = []
    expects_key = False
    for match in _TOKEN.finditer(text):
        lexeme, position = match[0], match.start()
        if lexeme in ("{", "["):
            frames.append(set() if lexeme == "{" else None)
            if len(frames) > MAX_DEPTH:
                raise _malformed(text, position, f"nested deeper than {MAX_DEPTH} levels")
        elif lexeme in ("}", "]") and frames:
            frames.pop()
        elif lexeme[0] == '"':
            _check_string(text, lexeme, position, frames[-1] if expects_key and frames else None)
        elif lexeme not in (":", ","):
            _check_number(text, lexeme, position)
        expects_key = lexeme == "{" or (lexeme == "," and bool(frames) and frames[-1] is not None)


def _check_string(text: str, lexeme: str, position: int, keys: set[str] | None) -> None:
    try:
        value: str = json.loads(lexeme)
    except json.JSONDecodeError:
        raise _malformed(text, position, "broken string") from None
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise _malformed(text, position, "half of a surrogate pair; write the character itself")
    if keys is None:
        return
    if value in keys:
        raise _malformed(text, position, f"key `{value[:64]}` occurs twice in one object")
    keys.add(value)


def _check_number(text: str, lexeme: str, position: int) -> None:
    if lexeme in ("NaN", "Infinity", "-Infinity"):
        raise _malformed(text, position, f"{lexeme} is no JSON")
    if len(lexeme) > MAX_DIGITS:
        raise _malformed(text, position, "the number has too many digits")
    if lexeme in ("true", "false", "null"):
        return
    try:
        number = float(lexeme)
    except ValueError:
        raise _malformed(text, position, f"`{lexeme[:64]}` is no value") from None
    if abs(number) == float("inf"):
        raise _malformed(text, position, "the number is out of range")


def _malformed(text: str, position: int, what: str) -> FlowError:
    line = text.count("\n", 0, position) + 1
    column = position - text.rfind("\n", 0, position)
    return FlowError(
        Reason.MALFORMED_REQUEST,
        f"the body is no valid JSON: line {line}, column {column}: {what}",
        metadata={"line": str(line), "column": str(column)},
    )
