"""What was generated, on disk: the one module that writes.

All files change, or none does where one of them cannot be written. Each single file and the bundle are replaced
atomically, so that a reader never meets half of one, whatever ends this process.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from errno import EISDIR
from functools import partial
from pathlib import Path

from promptflow_codegen.bundle import (
    CURRENT,
    DESCRIPTORS,
    DOCUMENTS,
    PLANS,
    Bundle,
    BundleError,
    load_bundle,
    plans_json,
)
from promptflow_codegen.generate import Generated
from promptflow_codegen.naming import PACKAGE_ROOT
from promptflow_codegen.project import Project


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
        _replace_all(project.root, changes, partial(save_bundle, generated.bundle, project.bundles_dir))
    except OSError as error:
        raise WriteError(f"{error.filename or project.root} cannot be written: {error.strerror}") from error
    return changed


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
            if not _is_saved(bundle, folder):
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
    _write_durably(new / PLANS, plans_json(bundle.plans))
    (new / DOCUMENTS).mkdir()
    for name, content in bundle.documents.items():
        _write_durably(new / DOCUMENTS / name, content)
    if target.exists():
        target.replace(staging / "damaged")
    new.replace(target)


def _is_saved(bundle: Bundle, folder: Path) -> bool:
    try:
        load_bundle(folder, bundle.digest)
    except BundleError:
        return False
    return True


def _write_durably(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _stale(project: Project, generated: Generated) -> Iterator[Path]:
    """Files that nothing generates any more. Locks stay: a flow that returns takes its numbers up again."""
    protos = (project.proto_dir / project.flows_package.replace(".", "/")).rglob("*.proto")
    modules = (project.python_client_dir / PACKAGE_ROOT).rglob("*.py*") if project.python_client_dir else ()
    for path in (*protos, *modules):
        relative = project.relative(path)
        if path.is_file() and relative not in generated.files and path.suffix != ".pyc":
            yield relative


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _replace_all(root: Path, changes: Mapping[Path, bytes | None], finish: Callable[[], object]) -> None:
    """Write every new file beside its target, move all into place, `finish`; None removes. Undone on OSError."""
    temporaries = {root / path: _temporary(root / path) for path, data in changes.items() if data is not None}
    before = {root / path: _read(root / path) for path in changes}
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
    for target in before:
        if target not in temporaries:
            _remove_empty_folders(target.parent)


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
