"""What an earlier run made, found again by a digest of what it was made from; losing it costs time alone.

The notes hold digests: of sources, and of what became of them. The things themselves are taken from where they lie, the
tree and the current bundle, and only where they are still what was noted. The generator's own code, the versions of
protoc and the hand-written contract are part of every digest.

Notes are believed, so they never lie in the tree, which others may have written: each user keeps their own.
"""

from __future__ import annotations

import gc
import hashlib
import json
import os
import re
import stat
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import cast

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.message import DecodeError

import promptflow_codegen
import promptflow_core
from promptflow_codegen.bundle import CURRENT, DESCRIPTORS, DOCUMENTS
from promptflow_codegen.project import Project

_TOOLS = ("googleapis-common-protos", "grpcio-tools", "protobuf", "protovalidate")
_DIGEST = re.compile(r"[0-9a-zA-Z_./-]{1,255}")
_IMPORT = re.compile(r'^import "([^"]+)";$', re.MULTILINE)
_MAX_NOTES_BYTES = 64 << 20
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


class Reuse:
    """The things that one run may take over, and the notes for the next one."""

    def __init__(self, project: Project, contract: Mapping[str, str], notes: Path | None = None) -> None:
        self.contract = contract
        self._project = project
        self._base = _digest(_generator(), *(f"{path}\0{text}" for path, text in sorted(contract.items())))
        self._known = _load(notes) if notes is not None else {}
        self._made: dict[str, dict[str, str]] = {}

    def notes(self) -> bytes:
        """What to keep for the next run."""
        return json.dumps(self._made, separators=(",", ":"), sort_keys=True).encode()

    def descriptors(self, protos: Mapping[str, str]) -> Mapping[str, FileDescriptorProto]:
        """Files of the current bundle that need not be compiled again, by path."""
        files = {file.name: file for file in self._current_set().file}
        keys = self._proto_keys(protos)
        return {
            path: files[path]
            for path, key in keys.items()
            if path in files and self._known.get(key, {}).get(path) == _digest(files[path].SerializeToString())
        }

    def note_descriptors(self, protos: Mapping[str, str], files: FileDescriptorSet) -> None:
        """Remember what files were compiled to."""
        keys = self._proto_keys(protos)
        for file in files.file:
            if file.name in keys:
                self._made[keys[file.name]] = {file.name: _digest(file.SerializeToString())}

    def modules(self, kind: str, made_from: bytes) -> Mapping[str, str] | None:
        """Python modules as they lie in the tree, by path in the client's folder; None where they have to be made."""
        noted = self._known.get(_digest(self._base, kind, made_from))
        folder = self._project.python_client_dir
        if not noted or folder is None:
            return None
        found = {path: _read(folder / path) for path in noted}
        kept = {path: data for path, data in found.items() if data is not None and _digest(data) == noted[path]}
        return {path: data.decode() for path, data in kept.items()} if len(kept) == len(noted) else None

    def note_modules(self, kind: str, made_from: bytes, modules: Mapping[str, str]) -> None:
        """Remember what modules became of something."""
        self._made[_digest(self._base, kind, made_from)] = {path: _digest(text) for path, text in modules.items()}

    def documents(self, descriptors: bytes, plans: bytes) -> Mapping[str, bytes] | None:
        """The documents of the current bundle, where they were made of these descriptors and plans."""
        noted = self._known.get(self._document_key(descriptors, plans))
        if not noted or not (current := self._current()):
            return None
        found = {name: _read(current / DOCUMENTS / name) for name in noted}
        kept = {name: data for name, data in found.items() if data is not None and _digest(data) == noted[name]}
        return kept if len(kept) == len(noted) else None

    def note_documents(self, descriptors: bytes, plans: bytes, documents: Mapping[str, bytes]) -> None:
        """Remember what documents were made of descriptors and plans."""
        self._made[self._document_key(descriptors, plans)] = {name: _digest(data) for name, data in documents.items()}

    def _proto_keys(self, protos: Mapping[str, str]) -> Mapping[str, str]:
        keys: dict[str, str] = {}

        def key_of(path: str) -> str:
            if path not in keys:
                # A file is compiled against what it imports; what is not ours is part of the base.
                imported = [key_of(name) for name in _IMPORT.findall(protos[path]) if name in protos]
                keys[path] = _digest(self._base, "proto", protos[path], *imported)
            return keys[path]

        for path in protos:
            key_of(path)
        return keys

    def _document_key(self, descriptors: bytes, plans: bytes) -> str:
        return _digest(self._base, "documents", descriptors, plans)

    def _current(self) -> Path | None:
        name = (_read(self._project.bundles_dir / CURRENT) or b"").decode("ascii", errors="replace").strip()
        return self._project.bundles_dir / name if name.isalnum() else None

    def _current_set(self) -> FileDescriptorSet:
        current = self._current()
        data = _read(current / DESCRIPTORS) if current is not None else None
        try:
            return FileDescriptorSet.FromString(data or b"")
        except DecodeError:
            return FileDescriptorSet()


def notes_path(cache_dir: Path, project: Project) -> Path:
    """Where a user's notes on a project lie; `cache_dir` is the user's own."""
    return cache_dir / "generated" / f"{_digest(str(project.root.resolve()))}.json"


@contextmanager
def without_collection() -> Generator[None]:
    """No search for cycles of garbage: generating makes many objects that all stay, and none of those."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _generator() -> str:
    """A digest of the code that generates, and of the tools that it calls."""
    folders = (Path(str(package.__file__)).parent for package in (promptflow_codegen, promptflow_core))
    files = sorted(file for folder in folders for file in folder.rglob("*.py"))
    return _digest(*(file.read_bytes() for file in files), *(f"{tool} {version(tool)}" for tool in _TOOLS))


def _digest(*parts: str | bytes) -> str:
    found = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        found.update(b"%d " % len(data))
        found.update(data)
    return found.hexdigest()[:32]


def _load(path: Path) -> dict[str, dict[str, str]]:
    try:
        about = path.stat()
        if about.st_size > _MAX_NOTES_BYTES or about.st_uid != os.geteuid() or about.st_mode & _OTHERS_WRITE:
            return {}
        document: object = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    entries = cast("dict[object, object]", document) if isinstance(document, dict) else {}
    return {str(key): found for key, value in entries.items() if (found := _words(value))}


def _words(value: object) -> dict[str, str]:
    entries = cast("dict[object, object]", value) if isinstance(value, dict) else {}
    pairs = {str(name): str(digest) for name, digest in entries.items()}
    # The names are joined to folders: one that leaves them was not written here.
    safe = all(_DIGEST.fullmatch(name) and ".." not in name and not name.startswith("/") for name in pairs)
    return pairs if safe else {}


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes() if path.is_file() else None
    except OSError:
        return None
