"""Native values and their msgpack form.

A native value is None, bool, int, float, str, bytes, `FileRef`, an aware datetime, a timedelta, a list of native
values, or a dict of them with string keys. Templates read them, executors take and give them, Redis stores them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec

NativeValue = Any

_FILE, _DURATION = 1, 2


@dataclass(frozen=True, slots=True)
class FileRef:
    """A file in the file store; `file_id` is `<execution_id>/<sha256>` and names its bytes for ever."""

    file_id: str
    content_type: str = ""
    name: str = ""
    size_bytes: int = 0


def _decode_extension(code: int, data: memoryview) -> Any:
    match code:
        case 1:
            return msgspec.msgpack.decode(data, type=FileRef)
        case 2:
            return timedelta(microseconds=msgspec.msgpack.decode(data, type=int))
        case _:
            raise ValueError(f"unknown msgpack extension {code}")


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(ext_hook=_decode_extension)


def _packable(value: NativeValue) -> NativeValue:
    match value:
        case FileRef():
            # msgspec would write a dataclass as a map, which reads back as a dict.
            return msgspec.msgpack.Ext(_FILE, msgspec.msgpack.encode(value))
        case timedelta():
            return msgspec.msgpack.Ext(_DURATION, msgspec.msgpack.encode(value // timedelta(microseconds=1)))
        case list() | tuple():
            return [_packable(item) for item in value]  # pyright: ignore[reportUnknownVariableType]
        case dict():
            return {key: _packable(item) for key, item in value.items()}  # pyright: ignore[reportUnknownVariableType]
        case None | bool() | int() | float() | str() | bytes() | datetime():
            return value
        case _:
            # msgspec would write a set, a UUID or a date, and read back something else.
            raise TypeError(f"{type(value).__name__} is not a native value")


def encode_value(value: NativeValue) -> bytes:
    """Write a native value as msgpack; files, timestamps and durations keep their type.

    Raises:
        TypeError: something in it is not a native value.
    """
    return _encoder.encode(_packable(value))


def decode_value(data: bytes) -> NativeValue:
    """Read what `encode_value` wrote."""
    return _decoder.decode(data)
