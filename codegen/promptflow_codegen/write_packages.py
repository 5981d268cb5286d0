"""Client packages on disk: a folder per language, all of them or none.

Each folder has a manifest of what was written into it. By that, files that nothing generates any more go, while files
of others stay; and a folder that has files but no manifest is nobody's to fill.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from promptflow_codegen.languages.language import ClientPackage
from promptflow_codegen.write import WriteError, replace_all

MANIFEST = ".promptflow.json"
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Written:
    """Paths from the folder of all packages, sorted: written, removed, and left as a person edited them."""

    written: tuple[Path, ...]
    removed: tuple[Path, ...]
    kept: tuple[Path, ...]


def check_folders(out: Path, languages: tuple[str, ...]) -> None:
    """See that packages may be written below `out`; changes nothing.

    Raises:
        WriteError: something else is there.
    """
    for folder in (out, *(out / language for language in languages)):
        if folder.exists() and not folder.is_dir():
            raise WriteError(f"{folder} is no folder; name another one, or remove it")
    for folder in (out / language for language in languages):
        if folder.is_dir() and any(folder.iterdir()):
            _read_manifest(folder)


def write_packages(
    out: Path, packages: Mapping[str, ClientPackage], finish: Callable[[], object] = lambda: None
) -> Written:
    """Bring `out/<language>` to each package; seeds that were edited, and files of others, stay as they are.

    `finish` is what has to be written with them: where it fails, they are not written either.

    Raises:
        WriteError: something else is there, or cannot be written; everything is as it was.
    """
    check_folders(out, tuple(packages))
    changes: dict[Path, bytes | None] = {}
    kept: list[Path] = []
    for language in sorted(packages):
        folder_changes, folder_kept = _changes(out / language, packages[language])
        changes |= {Path(language, path): data for path, data in folder_changes.items()}
        kept += [Path(language, path) for path in folder_kept]
    try:
        # Resolved, so that a removal never climbs through a link.
        replace_all(out.resolve(), changes, finish)
    except OSError as error:
        raise WriteError(f"{error.filename or out} cannot be written: {error.strerror}") from error
    shown = [path for path in sorted(changes) if path.name != MANIFEST]
    return Written(
        written=tuple(path for path in shown if changes[path] is not None),
        removed=tuple(path for path in shown if changes[path] is None),
        kept=tuple(sorted(kept)),
    )


def _changes(folder: Path, package: ClientPackage) -> tuple[Mapping[str, bytes | None], list[str]]:
    before: Mapping[str, str] = {}
    if folder.is_dir() and any(folder.iterdir()):
        before = _read_manifest(folder)
    changes: dict[str, bytes | None] = {}
    kept: list[str] = []
    manifest: dict[str, str] = {}
    for path, data in {**package.files, **package.seeds}.items():
        found = _read(folder / path)
        if path in package.seeds and found is not None and _digest(found) != before.get(path) and found != data:
            kept.append(path)
            continue
        if found is not None and path not in before and found != data:
            raise WriteError(f"{folder / path} was not generated and is in the way; move it")
        manifest[path] = _digest(data)
        if found != data:
            changes[path] = data
    for path in before.keys() - manifest.keys() - set(kept):
        found = _read(folder / path)
        if found is not None and _digest(found) == before[path]:
            changes[path] = None
        elif found is not None:
            kept.append(path)
    text = _print_manifest(manifest | {path: before[path] for path in kept if path in before})
    if _read(folder / MANIFEST) != text:
        changes[MANIFEST] = text
    return changes, kept


def _print_manifest(digests: Mapping[str, str]) -> bytes:
    document = {"generated_by": "promptflow generate --lang", "format": _FORMAT, "files": digests}
    return (json.dumps(document, indent=1, sort_keys=True) + "\n").encode()


def _read_manifest(folder: Path) -> Mapping[str, str]:
    data = _read(folder / MANIFEST)
    if data is None:
        raise WriteError(
            f"{folder} has files that `promptflow generate` did not write; "
            "empty it, or name another folder with `--out`"
        )
    try:
        document: Any = json.loads(data)
        files: Mapping[str, str] = {str(path): str(digest) for path, digest in document["files"].items()}
        if document["format"] != _FORMAT or not all(map(_is_inside, files)):
            raise ValueError(document["format"])
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
        raise WriteError(
            f"{folder / MANIFEST} is damaged or of a newer release; restore it, or empty {folder}"
        ) from None
    return files


def _is_inside(path: str) -> bool:
    """Whether a path of a manifest stays in its folder, whoever wrote it."""
    parts = PurePosixPath(path).parts
    return bool(parts) and not path.startswith("/") and ".." not in parts


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None
