"""One writer at a time: the lock, where it lies, and what writers that were killed have left."""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Collection, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

_TEMPORARY = re.compile(r"\.(.+)\.[0-9]+")


@contextmanager
def only_writer(folder: Path) -> Generator[None]:
    """Hold a folder against other writers; the kernel lets go of it when the process ends."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def make_data_folder(folder: Path) -> None:
    """Make a folder for what a machine keeps and no version control takes; one that is there stays as it is.

    Raises:
        OSError: it cannot be made.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        folder.mkdir()
    except FileExistsError:
        if not folder.is_dir():
            raise
    else:
        (folder / ".gitignore").write_text("*\n", "utf-8")


def temporary_of(target: Path) -> Path:
    """Where this process writes a file before it moves it to its place."""
    return target.parent / f".{target.name}.{os.getpid()}"


def sweep(names: Mapping[Path, Collection[str]]) -> None:
    """Remove the temporaries of those names, by folder, whoever wrote them: only for one who is the only writer.

    A folder that holds nothing else goes with them. What cannot be removed stays.
    """
    for folder, known in names.items():
        for path in list(_temporaries(folder, known)):
            with suppress(OSError):
                path.unlink()
                for place in (folder, *folder.parents):
                    place.rmdir()


def names_by_folder(paths: Iterable[Path]) -> Mapping[Path, Collection[str]]:
    """The names of files, by the folder that they are in."""
    found: dict[Path, set[str]] = {}
    for path in paths:
        found.setdefault(path.parent, set()).add(path.name)
    return found


def _temporaries(folder: Path, names: Collection[str]) -> Iterator[Path]:
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            found = _TEMPORARY.fullmatch(entry.name) if entry.name.startswith(".") else None
            if found is not None and found[1] in names and entry.is_file(follow_symlinks=False):
                yield Path(entry.path)
