"""The file store: bytes by hash, in one folder per execution, shared by the processes of a machine."""

from __future__ import annotations

import asyncio
import hashlib
import re
import secrets
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import BinaryIO, ParamSpec, TypeVar

from promptflow_core.errors import FlowError, Reason
from promptflow_core.values import FileRef
from promptflow_workers.durable import flush

P = ParamSpec("P")
T = TypeVar("T")

# No name that begins with a dot: that excludes `.`, `..` and the unfinished files.
_SEGMENT = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}")
_HASH = re.compile(r"[0-9a-f]{64}")


class BlobStore:
    """Files under `root`, each written whole or not at all, never changed, gone with their execution."""

    def __init__(self, root: Path) -> None:
        self._root = root

    async def write(
        self,
        execution_id: str,
        chunks: AsyncIterator[bytes],
        *,
        name: str,
        content_type: str,
        max_bytes: int,
    ) -> FileRef:
        """Store what `chunks` yields, durably; the same bytes twice are one file.

        Raises:
            FlowError: FILE_TOO_LARGE past `max_bytes`, INVALID_INPUT for an execution id that cannot name a folder;
                STORE_UNAVAILABLE where the disk refuses. Nothing is left behind, nor after an error of `chunks`.
        """
        folder = self._folder(execution_id)
        temporary = folder / f".{secrets.token_hex(8)}"
        file = await _on_disk(_create, temporary)
        try:
            digest, size = await _copy(chunks, file, name, max_bytes)
            await _on_disk(_publish, file, temporary, folder / digest)
        except BaseException:
            file.close()
            temporary.unlink(missing_ok=True)
            _remove_if_empty(folder)
            raise
        return FileRef(f"{execution_id}/{digest}", content_type, name, size)

    def path(self, ref: FileRef) -> Path:
        """See `Files.path`."""
        execution_id, _, digest = ref.file_id.partition("/")
        if _SEGMENT.fullmatch(execution_id) and _HASH.fullmatch(digest):
            path = self._root / execution_id / digest
            if path.is_file():
                return path
        shown = ref.name or ref.file_id
        raise FlowError(Reason.FILE_UNREADABLE, f"the file store has no `{shown[:100]}`; send the file again")

    async def delete(self, execution_id: str) -> None:
        """Remove all files of an execution; none is no error."""
        await asyncio.to_thread(shutil.rmtree, self._folder(execution_id), ignore_errors=True)

    def _folder(self, execution_id: str) -> Path:
        if not _SEGMENT.fullmatch(execution_id):
            raise FlowError(
                Reason.INVALID_INPUT, f"`{execution_id[:100]}` is no execution id: letters, digits, `.`, `_` and `-`"
            )
        return self._root / execution_id


async def _on_disk(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    try:
        return await asyncio.to_thread(function, *args, **kwargs)
    except OSError as error:
        raise FlowError(
            Reason.STORE_UNAVAILABLE, f"the file store cannot be written: {error.strerror or error}"
        ) from error


def _create(path: Path) -> BinaryIO:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        return path.open("xb")
    except FileNotFoundError:
        # Another upload of this execution failed meanwhile and took the empty folder away.
        path.parent.mkdir(mode=0o700, exist_ok=True)
        return path.open("xb")


async def _copy(chunks: AsyncIterator[bytes], file: BinaryIO, name: str, max_bytes: int) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    async for chunk in chunks:
        size += len(chunk)
        if size > max_bytes:
            raise FlowError(Reason.FILE_TOO_LARGE, f"file `{name[:100]}` is larger than {max_bytes} bytes")
        await _on_disk(file.write, chunk)
        digest.update(chunk)
    return digest.hexdigest(), size


def _publish(file: BinaryIO, temporary: Path, path: Path) -> None:
    """Make the finished file visible, so that it is there after a power cut."""
    file.close()
    flush(temporary)
    temporary.rename(path)
    flush(path.parent)
    flush(path.parent.parent)


def _remove_if_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:
        return
