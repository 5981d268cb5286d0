"""The folder of fetched files, addressed by hash: `sha256/<hash>/<published name>`.

A file appears there whole and right, or not at all. The folder of a weights file holds nothing else, so that a session
can be pointed at it. What is under way lies in `partial/`; one process at a time fetches.
"""

from __future__ import annotations

import fcntl
import hashlib
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from promptflow_workers.durable import flush
from promptflow_workers.models.schema import LocalFile, RemoteFile

_LOCK_POLL_S = 0.1


class UnfitError(Exception):
    """Bytes that are not those of a manifest; the message says in what."""


def check_content(path: Path, file: LocalFile) -> None:
    """Compare size, then hash.

    Raises:
        UnfitError: another file, or none.
    """
    if not path.is_file():
        raise UnfitError("not there")
    size = path.stat().st_size
    if size != file.bytes:
        raise UnfitError(f"has {size:,} bytes instead of {file.bytes:,}")
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    if digest != file.sha256:
        raise UnfitError(f"has the sha256 {digest} instead of {file.sha256}")


@dataclass(frozen=True, slots=True)
class WeightCache:
    """Fetched files below `root`, which many processes may share."""

    root: Path

    def path(self, file: RemoteFile) -> Path:
        """Where `file` lies once it is fetched."""
        return self.root / "sha256" / file.sha256 / file.file

    def partial(self, file: RemoteFile) -> Path:
        """Where a resumable download of `file` grows."""
        return self.root / "partial" / f"{file.sha256}.part"

    def find(self, file: RemoteFile) -> Path | None:
        """The cached file, if its content is right; reads all of it."""
        path = self.path(file)
        try:
            check_content(path, file)
        except UnfitError:
            return None
        return path

    def adopt(self, file: RemoteFile, fetched: Path) -> Path:
        """Move a complete download to its place, durably; a wrong one is deleted.

        Raises:
            UnfitError: the content is not what the manifest says.
        """
        try:
            check_content(fetched, file)
        except UnfitError:
            fetched.unlink(missing_ok=True)
            raise
        target = self.path(file)
        target.parent.mkdir(parents=True, exist_ok=True)
        flush(fetched)
        fetched.replace(target)
        flush(target.parent)
        return target

    @contextmanager
    def lock(self, waiting: Callable[[], None]) -> Generator[None]:
        """Hold the right to fetch; `waiting` is called while another process has it, and may raise to give up."""
        folder = self.root / "partial"
        folder.mkdir(parents=True, exist_ok=True)
        # The lock file stays: deleting it would let two processes lock two files of one name.
        with (folder / "lock").open("wb") as stream:
            while not _try_lock(stream.fileno()):
                waiting()
                time.sleep(_LOCK_POLL_S)
            yield


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
