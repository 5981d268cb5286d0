"""What may be given as a file: a path, bytes, an open file, or a `File` that says more."""

from __future__ import annotations

import asyncio
import mimetypes
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from inspect import isawaitable
from pathlib import Path
from typing import Any, Protocol, TypeAlias


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


FileSource: TypeAlias = File | bytes | bytearray | memoryview | str | os.PathLike[str] | Readable
"""A text is a path; bytes at an address are `File(uri=…)`."""


def is_file_source(value: object) -> bool:
    """Whether `load_file` takes it."""
    return isinstance(value, File | bytes | bytearray | memoryview | str | os.PathLike) or hasattr(value, "read")


async def load_file(source: FileSource) -> File:
    """Read a source to its end, in a thread where reading blocks, and guess its content type by its name.

    Raises:
        OSError: the file cannot be read.
        TypeError: it was opened as text.
    """
    match source:
        case File():
            return source if source.content_type else replace(source, content_type=_guess(source.name))
        case bytes() | bytearray() | memoryview():
            return File(content=bytes(source))
        case str() | os.PathLike():
            path = Path(source)
            return _named(await asyncio.to_thread(path.read_bytes), path.name)
        case _:
            content = await _read(source)
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


def _named(content: bytes, name: str) -> File:
    return File(content=content, content_type=_guess(name), name=name)


def _guess(name: str) -> str:
    return mimetypes.guess_type(name)[0] or ""
