"""Rendered values as a plan shows them: JSON for people, with large parts cut and no bytes of files."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime, timedelta

from promptflow_core.values import FileRef, NativeValue
from promptflow_server.services.contracts import Message
from promptflow_server.services.json_values import MAX_JSON_DEPTH

MAX_TEXT = 1_024
MAX_ENTRIES = 100
MAX_VALUES = 5_000
CUT = "…"


class ShownValues:
    """Shows the values of one plan, so many of them at most; what comes after is cut."""

    def __init__(self, max_values: int = MAX_VALUES) -> None:
        self._left = max_values

    def put(self, values: Mapping[str, NativeValue], struct: Message) -> None:
        """Fill a google.protobuf.Struct."""
        struct.SetInParent()
        struct.update(self._entries(values, 0))

    def _entries(self, values: Mapping[str, NativeValue], depth: int) -> dict[str, NativeValue]:
        shown = {_text(str(key)): self._shown(value, depth + 1) for key, value in list(values.items())[:MAX_ENTRIES]}
        return shown if len(values) <= MAX_ENTRIES else {**shown, CUT: f"and {len(values) - MAX_ENTRIES} more"}

    def _shown(self, value: NativeValue, depth: int) -> NativeValue:
        self._left -= 1
        if self._left < 0 or depth > MAX_JSON_DEPTH:
            return CUT
        match value:
            case Mapping():
                return self._entries(value, depth)  # pyright: ignore[reportUnknownArgumentType]
            case list() | tuple():
                items = [self._shown(item, depth + 1) for item in value[:MAX_ENTRIES]]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
                more = len(value) - MAX_ENTRIES  # pyright: ignore[reportUnknownArgumentType]
                return items if more <= 0 else [*items, f"{CUT} and {more} more"]
            case _:
                return _plain(value)


def _plain(value: NativeValue) -> NativeValue:
    match value:
        case None | bool():
            return value
        case int() | float():
            return _number(value)
        case bytes():
            return {"size_bytes": len(value)}
        case FileRef():
            named = {"name": _text(value.name), "content_type": _text(value.content_type)}
            return {**{key: text for key, text in named.items() if text}, "size_bytes": value.size_bytes}
        case datetime():
            return value.isoformat()
        case timedelta():
            return f"{value.total_seconds():g}s"
        case _:
            return _text(str(value))


def _text(text: str) -> str:
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}{CUT} ({len(text)} characters)"


def _number(number: float) -> NativeValue:
    try:
        is_shown = math.isfinite(number)
    except OverflowError:
        is_shown = False
    return number if is_shown else str(number)[:MAX_TEXT]
