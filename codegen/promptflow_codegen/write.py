"""What was generated, on disk: the one module that writes.

All files change, or none does where one of them cannot be written. Each single file and the bundle are replaced
atomically, so that a reader never meets half of one, whatever ends this process.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from errno import EISDIR
from functools import partial
from pathlib import Path

from promptflow_codegen.bundle import (
    CURRENT,
    DESCRIPTORS,
    DOCUMENTS,
    PLANS,
    Bundle,
    is_saved,
)
from promptflow_codegen.generate import Generated
from promptflow_codegen.naming import FLOWS_PACKAGE, PACKAGE_ROOT
from promptflow_codegen.project import Project
from promptflow_codegen.reuse import NOTES


class WriteError(Exception):
    """The tree could not be changed and is as it was; the message says why."""


def write(project: Project, generated: Generated) -> tuple[Path, ...]:
    """Bring the tree to what was generated, save the bundle; the paths that changed or went, sorted.

    Raises:
        WriteError: something cannot be written.
        ValueError: nothing was generated, since the flows have errors.
    """
    if generated.bundle is None:
        raise ValueError("the flows have errors; nothing was generated")
    changed = drift(project, generated)
    try:
        changes = {path: generated.files.get(path) for path in changed}
        replace_all(project.root, changes, partial(save_bundle, generated.bundle, project.bundles_dir))
    except OSError as error:
        raise WriteError(f"{error.filename or project.root} cannot be written: {error.strerror}") from error
    _save_notes(project.root / NOTES, generated.notes)
    return changed


def _save_notes(path: Path, notes: bytes) -> None:
    """Keep the notes for the next run, which does without where they cannot be kept."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(notes)
        temporary.replace(path)


def drift(project: Project, generated: Generated) -> tuple[Path, ...]:
    """The generated files that are not as they would be, stale ones too, sorted; empty where the flows have errors."""
    if generated.bundle is None:
        return ()
    differing = {path for path, data in generated.files.items() if _read(project.root / path) != data}
    return tuple(sorted(differing | set(_stale(project, generated))))


def save_bundle(bundle: Bundle, folder: Path) -> Path:
    """Write a bundle under `folder` and make it the current one; a damaged copy of it is replaced.

    Raises:
        OSError: it cannot be written; the current bundle is as it was.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _only_writer(folder):
        staging = Path(tempfile.mkdtemp(prefix=".staging.", dir=folder))
        try:
            if not is_saved(bundle, folder):
                _put_bundle(bundle, staging, folder / bundle.digest)
            _write_durably(staging / CURRENT, f"{bundle.digest}\n".encode())
            (staging / CURRENT).replace(folder / CURRENT)
        finally:
            shutil.rmtree(staging)
    return folder / bundle.digest


@contextmanager
def _only_writer(folder: Path) -> Generator[None]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _put_bundle(bundle: Bundle, staging: Path, target: Path) -> None:
    new = staging / "new"
    new.mkdir()
    _write_durably(new / DESCRIPTORS, bundle.descriptors)
    _write_durably(new / PLANS, bundle.plans_data)
    (new / DOCUMENTS).mkdir()
    for name, content in bundle.documents.items():
        _write_durably(new / DOCUMENTS / name, content)
    if target.exists():
        target.replace(staging / "damaged")
    new.replace(target)


def _write_durably(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _stale(project: Project, generated: Generated) -> Iterator[Path]:
    """Files that nothing generates any more. Locks stay: a flow that returns takes its numbers up again."""
    for path in (*_our_protos(project), *_our_modules(project)):
        relative = project.relative(path)
        if path.is_file() and relative not in generated.files and path.suffix != ".pyc":
            yield relative


def _our_protos(project: Project) -> Iterator[Path]:
    """Generated protos, told by their place and by the lock beside them: a package may hold protos of others too."""
    folder = project.proto_dir / project.flows_package.replace(".", "/")
    for path in folder.glob("*/v*/*.proto"):
        if path.stem == path.parts[-3] and path.with_suffix(".lock.yaml").exists():
            yield path


def _our_modules(project: Project) -> Iterator[Path]:
    """Generated Python: all below our own import root, and in a project's own package what bears a generated name."""
    if project.python_client_dir is None:
        return
    if project.flows_package == FLOWS_PACKAGE:
        yield from (project.python_client_dir / PACKAGE_ROOT).rglob("*.py*")
        return
    folder = project.python_client_dir / project.flows_package.replace(".", "/")
    for path in folder.glob("*/v*/*.py*"):
        flow = path.parts[-3]
        if path.name in {*(f"{flow}_pb2{end}" for end in (".py", ".pyi", "_grpc.py")), "client.py", "sync.py"}:
            yield path


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def replace_all(root: Path, changes: Mapping[Path, bytes | None], finish: Callable[[], object]) -> None:
    """Write every new file beside its target, move all into place, `finish`; None removes. Undone on OSError.

    Raises:
        OSError: something cannot be written; all is as it was.
    """
    temporaries = {root / path: _temporary(root / path) for path, data in changes.items() if data is not None}
    before = {root / path: _read(root / path) for path in changes}
    new_folders = _missing_folders(before)
    try:
        for path, data in changes.items():
            if data is not None:
                _stage(root / path, temporaries[root / path], data)
        try:
            for target in before:
                _put(target, temporaries.get(target))
            finish()
        except OSError:
            for target, data in before.items():
                _restore(target, data)
            raise
    finally:
        for temporary in temporaries.values():
            temporary.unlink(missing_ok=True)
        _remove_empty(new_folders)
    for target in before:
        if target not in temporaries:
            _remove_empty_folders(target.parent)


def _missing_folders(targets: Iterable[Path]) -> list[Path]:
    """Folders that writing makes, the deepest first."""
    missing = {folder for target in targets for folder in target.parents if not folder.exists()}
    return sorted(missing, key=lambda folder: len(folder.parts), reverse=True)


def _remove_empty(folders: Iterable[Path]) -> None:
    for folder in folders:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def _temporary(target: Path) -> Path:
    return target.parent / f".{target.name}.{os.getpid()}"


def _stage(target: Path, temporary: Path, data: bytes) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_dir():
        raise IsADirectoryError(EISDIR, "a folder is in the way", str(target))
    temporary.write_bytes(data)


def _put(target: Path, temporary: Path | None) -> None:
    if temporary is not None:
        temporary.replace(target)
    else:
        target.unlink(missing_ok=True)


def _restore(target: Path, data: bytes | None) -> None:
    if data is None:
        target.unlink(missing_ok=True)
    elif _read(target) != data:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)


def _remove_empty_folders(folder: Path) -> None:
    while not folder.is_dir() or not any(folder.iterdir()):
        if folder.is_dir():
            folder.rmdir()
        folder = folder.parent
