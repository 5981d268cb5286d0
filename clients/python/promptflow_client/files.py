"""What may be given as a file: a path, bytes, an open file, a stream of parts, or a `File` that says more."""

from __future__ import annotations

import asyncio
import mimetypes
import os
from collections.abc import AsyncIterable, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from inspect import isawaitable
from pathlib import Path
from typing import Any, Protocol, TypeAlias, cast


class Readable(Protocol):
    """A file opened in binary mode, by `open` or by an asynchronous library."""

    def read(self) -> bytes | Awaitable[bytes]:
        """Give everything that is left."""
        ...


@dataclass(frozen=True, slots=True)
class File:
    """A file: its bytes, or where they are; exactly one of `content`, `file_id` and `uri` is set."""

    content: bytes | None = None
    file_id: str | None = None
    uri: str | None = None
    content_type: str = ""
    name: str = ""


FileSource: TypeAlias = (
    File | bytes | bytearray | memoryview | str | os.PathLike[str] | Readable | AsyncIterable[bytes] | Iterator[bytes]
)
"""A text is a path; bytes at an address are `File(uri=…)`. Parts come from a generator, once: retries send a copy."""


_KINDS: tuple[type, ...] = (File, bytes, bytearray, memoryview, str, os.PathLike, AsyncIterable, Iterator)


def is_file_source(value: object) -> bool:
    """Whether `load_file` takes it."""
    return isinstance(value, _KINDS) or hasattr(value, "read")


async def load_file(source: FileSource) -> File:
    """Read a source to its end, in a thread where reading blocks, and guess its content type by its name.

    Raises:
        OSError: the file cannot be read.
        TypeError: it was opened as text, or gave something else than bytes.
    """
    match source:
        case File():
            return source if source.content_type else replace(source, content_type=_guess(source.name))
        case bytes() | bytearray() | memoryview():
            return File(content=bytes(source))
        case str() | os.PathLike():
            path = Path(source)
            return _named(await asyncio.to_thread(path.read_bytes), path.name)
        case AsyncIterable() if not hasattr(source, "read"):
            return File(content=_joined([part async for part in source]))
        case Iterator() if not hasattr(source, "read"):
            return File(content=_joined(await asyncio.to_thread(list, source)))
        case _:
            content = await _read(cast("Readable", source))
            name = getattr(source, "name", "")
            return _named(content, Path(name).name if isinstance(name, str) else "")


async def _read(source: Readable) -> bytes:
    # An asynchronous `read` only makes its coroutine in the thread; it runs here.
    read: Callable[[], Any] = source.read
    content = await asyncio.to_thread(read)
    if isawaitable(content):
        content = await content
    if not isinstance(content, bytes):
        raise TypeError(f"the file gave {type(content).__name__}, not bytes; open it in binary mode")
    return content


def _joined(parts: Sequence[object]) -> bytes:
    found = [part for part in parts if isinstance(part, bytes | bytearray)]
    if len(found) < len(parts):
        kinds = sorted({type(part).__name__ for part in parts} - {"bytes", "bytearray"})
        raise TypeError(f"the stream gave {', '.join(kinds)}, not bytes")
    return b"".join(found)


def _named(content: bytes, name: str) -> File:
    return File(content=content, content_type=_guess(name), name=name)


def _guess(name: str) -> str:
    return mimetypes.guess_type(name)[0] or ""
