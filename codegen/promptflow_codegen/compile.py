"""protoc, in this process: text to descriptors, descriptors to Python modules.

All files of a project are compiled by one call. What they import comes from packages as descriptors, so that nothing
is looked up on disk and nothing is fetched.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any
from zipfile import ZipFile

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

ALWAYS = ("google/api/httpbody.proto", "google/rpc/error_details.proto", "google/rpc/status.proto")
"""Part of every bundle: Envoy transcodes bodies and error details by them."""

_IMPORTABLE = (
    "buf/validate/validate.proto",
    "google/api/annotations.proto",
    "google/protobuf/duration.proto",
    "google/protobuf/field_mask.proto",
    "google/protobuf/struct.proto",
    "google/protobuf/timestamp.proto",
)
"""What flows may import, beside the contract: it is there for files that were compiled before."""

_MODULES = (
    "google.api.annotations_pb2",
    "google.api.httpbody_pb2",
    "google.protobuf.field_mask_pb2",
    "google.protobuf.struct_pb2",
    "google.protobuf.timestamp_pb2",
    "google.rpc.error_details_pb2",
    "google.rpc.status_pb2",
)


_MANY = 50
_LONGEST_S = 600


class ProtocError(RuntimeError):
    """protoc refused what we gave it, which is a defect of ours: what protoc says stands on stderr."""


def compile_descriptors(
    sources: Mapping[str, str], compiled: Mapping[str, FileDescriptorProto] | None = None
) -> FileDescriptorSet:
    """The files of `sources` (path to text) and all that they import, in dependency order, without source info.

    `compiled` are those of them that were compiled before.

    Raises:
        ProtocError: a file cannot be compiled.
    """
    compiled = compiled or {}
    with tempfile.TemporaryDirectory(prefix="promptflow-") as folder:
        root = Path(folder)
        new = {path: sources[path] for path in sorted(sources) if path not in compiled}
        _write_sources(root / "src", new)
        known = _imported()
        known.file.extend(compiled.values())
        (root / "imports.pb").write_bytes(known.SerializeToString())
        run = _run if len(new) < _MANY else _run_apart
        run(
            f"--proto_path={root / 'src'}",
            f"--descriptor_set_in={root / 'imports.pb'}",
            "--include_imports",
            f"--descriptor_set_out={root / 'out.pb'}",
            *ALWAYS,
            *_IMPORTABLE,
            *new,
        )
        made = FileDescriptorSet.FromString((root / "out.pb").read_bytes())
    files = {file.name: file for file in made.file} | dict(compiled)
    return FileDescriptorSet(file=_in_order(files, (*ALWAYS, *sorted(sources))))


def _write_sources(folder: Path, sources: Mapping[str, str]) -> None:
    for parent in {(folder / path).parent for path in sources}:
        parent.mkdir(parents=True, exist_ok=True)
    for path, text in sources.items():
        (folder / path).write_text(text, "utf-8")


def _in_order(files: Mapping[str, FileDescriptorProto], wanted: Iterable[str]) -> Iterator[FileDescriptorProto]:
    """The wanted files, each after those that it imports."""
    waiting, seen = list(wanted)[::-1], set[str]()
    while waiting:
        name = waiting[-1]
        missing = [imported for imported in files[name].dependency if imported not in seen]
        if missing and name not in seen:
            waiting += reversed(missing)
            continue
        if name not in seen:
            seen.add(name)
            yield files[name]
        waiting.pop()


def generate_python(files: FileDescriptorSet, paths: Sequence[str]) -> Mapping[str, str]:
    """Modules of messages (with stubs) and of services for the files at `paths`: path of the module to its text.

    Raises:
        ProtocError: a file is not in the set, or cannot be generated from.
    """
    with tempfile.TemporaryDirectory(prefix="promptflow-") as folder:
        root = Path(folder)
        (root / "in.pb").write_bytes(files.SerializeToString())
        # An archive: thousands of files would be written, found and read one by one.
        out = root / "out.zip"
        outputs = (f"--python_out={out}", f"--pyi_out={out}", f"--grpc_python_out={out}")
        run = _run if len(paths) < _MANY else _run_apart
        run(f"--descriptor_set_in={root / 'in.pb'}", *outputs, *sorted(paths))
        with ZipFile(out) as archive:
            return {name: archive.read(name).decode() for name in sorted(archive.namelist()) if ".py" in name}


def _run(*arguments: str) -> None:
    protoc: Any = import_module("grpc_tools.protoc")
    status = protoc.main(["protoc", *arguments])
    if status != 0:
        raise ProtocError(f"protoc ended with status {status}; see what it wrote to stderr")


def _imported() -> FileDescriptorSet:
    """The descriptors of everything that generated files may import, each after what it imports itself."""
    found: dict[str, FileDescriptorProto] = {}
    for name in _MODULES:
        _add(import_module(name).DESCRIPTOR, found)
    # protovalidate ships no .proto file and no module of its own for it, but the descriptor.
    rules: Any = import_module("protovalidate._gen.buf.validate.validate_pb").desc()
    for dependency in rules.dependencies:
        _parse(dependency.proto.to_binary(), found)
    _parse(rules.proto.to_binary(), found)
    return FileDescriptorSet(file=found.values())


def _add(file: Any, found: dict[str, FileDescriptorProto]) -> None:
    dependencies: Iterable[Any] = file.dependencies
    for dependency in dependencies:
        _add(dependency, found)
    _parse(file.serialized_pb, found)


def _parse(data: bytes, found: dict[str, FileDescriptorProto]) -> None:
    file = FileDescriptorProto.FromString(data)
    found.setdefault(file.name, file)


def _run_apart(*arguments: str) -> None:
    """The same in a process of its own: protoc holds the interpreter for as long as it works."""
    with tempfile.NamedTemporaryFile("w", suffix=".args", encoding="utf-8") as listed:
        # A command line would be too long.
        listed.write("\n".join(arguments))
        listed.flush()
        command = (sys.executable, "-m", "grpc_tools.protoc", f"@{listed.name}")
        status = subprocess.run(command, check=False, timeout=_LONGEST_S).returncode  # noqa: S603  # this Python
    if status != 0:
        raise ProtocError(f"protoc ended with status {status}; see what it wrote to stderr")
