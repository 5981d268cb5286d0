"""What was generated, on disk: the one module that writes.

All files change, or none does where one of them cannot be written. Each single file and the bundle are replaced
atomically, so that a reader never meets half of one, whatever ends this process.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
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
from promptflow_codegen.removal import earlier_flows
from promptflow_codegen.reuse import without_collection
from promptflow_codegen.writers import make_data_folder, names_by_folder, only_writer, sweep, temporary_of

MAX_NOTES = 50
"""Notes are kept of so many projects of a user, those that were generated last."""

KEPT_BUNDLES = 8

_STAGING = ".staging."
_ANY_DIGEST = "[0-9a-f]" * 16


class WriteError(Exception):
    """The tree could not be changed and is as it was; the message says why."""


def write(project: Project, generated: Generated, notes: Path | None = None) -> tuple[Path, ...]:
    """Bring the tree to what was generated, save the bundle; the paths that changed or went, sorted.

    What the next run need not make again is kept in the file `notes` (`reuse.notes_path`).

    Raises:
        WriteError: something cannot be written.
        ValueError: nothing was generated, since the flows have errors.
    """
    if generated.bundle is None:
        raise ValueError("the flows have errors; nothing was generated")
    data = project.bundles_dir.parent
    try:
        make_data_folder(data)
        with without_collection(), only_writer(data):
            changed = _write(project, generated, generated.bundle)
            if notes is not None:
                _save_notes(notes, generated.notes)
    except OSError as error:
        raise WriteError(f"{error.filename or project.root} cannot be written: {error.strerror}") from error
    return changed


def _write(project: Project, generated: Generated, bundle: Bundle) -> tuple[Path, ...]:
    sweep({**dict(_folders_of_flows(project)), **names_by_folder(project.root / path for path in generated.files)})
    changed = drift(project, generated)
    changes = {path: generated.files.get(path) for path in changed}
    replace_all(project.root, changes, partial(save_bundle, bundle, project.bundles_dir))
    return changed


def _folders_of_flows(project: Project) -> Iterator[tuple[Path, Collection[str]]]:
    """Where files of flows lie or lay, and what those are called: a flow that nobody generates any more has some."""
    package = project.flows_package.replace(".", "/")
    for folder in (project.proto_dir / package).glob("*/v*"):
        flow = folder.parent.name
        yield folder, {f"{flow}.proto", f"{flow}.lock.yaml"}
    if project.python_client_dir is not None:
        for folder in (project.python_client_dir / package).glob("*/v*"):
            yield folder, {"__init__.py", *_modules_of(folder.parent.name)}


def _modules_of(flow: str) -> Collection[str]:
    return {*(f"{flow}_pb2{end}" for end in (".py", ".pyi", "_grpc.py")), "client.py", "sync.py"}


def _save_notes(path: Path, notes: bytes) -> None:
    """Keep the notes for the next run, which does without where they cannot be kept."""
    temporary = temporary_of(path)
    with suppress(OSError):
        sweep(names_by_folder([path]))
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary.write_bytes(notes)
        temporary.chmod(0o600)
        temporary.replace(path)
        known = sorted(path.parent.glob("*.json"), key=lambda each: each.stat().st_mtime)
        for old in known[:-MAX_NOTES]:
            old.unlink(missing_ok=True)


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
    with only_writer(folder):
        staging = Path(tempfile.mkdtemp(prefix=_STAGING, dir=folder))
        try:
            if not is_saved(bundle, folder):
                _put_bundle(bundle, staging, folder / bundle.digest)
            _write_durably(staging / CURRENT, f"{bundle.digest}\n".encode())
            _stamp(folder, _current(folder), bundle.digest)
            (staging / CURRENT).replace(folder / CURRENT)
        finally:
            shutil.rmtree(staging)
    return folder / bundle.digest


def prune_bundles(folder: Path, *, keep_s: float, now: Callable[[], float] = time.time) -> None:
    """Remove the bundles that no run may pin: none of the last `KEPT_BUNDLES`, none that was current within `keep_s`.

    What a writer that was killed has left goes too; what cannot be removed stays.
    """
    with suppress(OSError), only_writer(folder):
        ages = {
            path: now() - path.stat().st_mtime for path in folder.glob(_ANY_DIGEST) if path.name != _current(folder)
        }
        for path in sorted(ages, key=ages.__getitem__)[KEPT_BUNDLES - 1 :]:
            if ages[path] > keep_s:
                # By a rename first: nobody meets half a bundle.
                path.replace(folder / f"{_STAGING}{path.name}")
        for path in folder.glob(f"{_STAGING}*"):
            shutil.rmtree(path, ignore_errors=True)


def _stamp(folder: Path, *digests: str) -> None:
    """Note by their folders' time that these bundles are, or were until now, the current one."""
    for digest in filter(None, digests):
        with suppress(OSError):
            os.utime(folder / digest)


def _current(folder: Path) -> str:
    return (_read(folder / CURRENT) or b"").decode("ascii", "replace").strip()


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
    for path in (*_our_protos(project), *_our_modules(project), *_given_up(project, generated)):
        relative = project.relative(path)
        if path.is_file() and relative not in generated.files and path.suffix != ".pyc":
            yield relative


def _our_protos(project: Project) -> Iterator[Path]:
    """Generated protos, told by their place and by the lock beside them: a package may hold protos of others too."""
    folder = project.proto_dir / project.flows_package.replace(".", "/")
    for path in folder.glob("*/v*/*.proto"):
        if path.stem == path.parts[-3] and path.with_suffix(".lock.yaml").exists():
            yield path


def _given_up(project: Project, generated: Generated) -> Iterator[Path]:
    """Of flows that were in another package, and are confirmed to be gone from there: the proto and the Python."""
    plans = generated.bundle.plans if generated.bundle is not None else ()
    for earlier in earlier_flows(project, [(plan.name, plan.version) for plan in plans]):
        if earlier.name not in project.removed:
            continue
        yield earlier.proto
        if project.python_client_dir is not None:
            folder = project.python_client_dir / earlier.proto.parent.relative_to(project.proto_dir)
            yield from (folder / name for name in _modules_of(earlier.flow))


def _our_modules(project: Project) -> Iterator[Path]:
    """Generated Python: all below our own import root, and in a project's own package what bears a generated name."""
    if project.python_client_dir is None:
        return
    if project.flows_package == FLOWS_PACKAGE:
        yield from (project.python_client_dir / PACKAGE_ROOT).rglob("[!.]*.py*")
        return
    folder = project.python_client_dir / project.flows_package.replace(".", "/")
    for path in folder.glob("*/v*/*.py*"):
        if path.name in _modules_of(path.parts[-3]):
            yield path


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def replace_all(root: Path, changes: Mapping[Path, bytes | None], finish: Callable[[], object]) -> None:
    """Write every new file beside its target, move all into place, `finish`; None removes.

    Raises:
        OSError: something cannot be written, or `finish` failed; all is as it was.
        WriteError: `finish` failed; all is as it was.
    """
    targets = {root / path: data for path, data in changes.items()}
    new_folders = _missing_folders(target.parent for target in targets)
    before = {target: None if target.parent in new_folders else _read(target) for target in targets}
    staged: dict[Path, Path] = {}
    try:
        _make_folders(new_folders, targets)
        for target, data in targets.items():
            if data is not None:
                staged[target] = temporary_of(target)
                _stage(target, staged[target], data, is_new=target.parent in new_folders)
        try:
            for target in targets:
                _put(target, staged.get(target))
            finish()
        except (OSError, WriteError):
            for target, data in before.items():
                _restore(target, data)
            raise
        staged.clear()
        new_folders.clear()
    finally:
        for temporary in staged.values():
            temporary.unlink(missing_ok=True)
        _remove_empty(new_folders)
    for target, data in targets.items():
        if data is None:
            _remove_empty_folders(target.parent)


def _missing_folders(folders: Iterable[Path]) -> set[Path]:
    """Those of the folders, and of the folders that they are in, that are not there."""
    missing = set[Path]()
    for folder in set(folders):
        for place in (folder, *folder.parents):
            if place in missing or place.exists():
                break
            missing.add(place)
    return missing


def _make_folders(missing: Collection[Path], targets: Mapping[Path, bytes | None]) -> None:
    wanted = {target.parent for target, data in targets.items() if data is not None}
    for folder in wanted.intersection(missing):
        folder.mkdir(parents=True, exist_ok=True)


def _remove_empty(folders: Iterable[Path]) -> None:
    for folder in sorted(folders, key=lambda folder: len(folder.parts), reverse=True):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def _stage(target: Path, temporary: Path, data: bytes, *, is_new: bool) -> None:
    if not is_new and target.is_dir():
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
