"""protoc, in this process: text to descriptors, descriptors to Python modules.

All files of a project are compiled by one call. What they import comes from packages as descriptors, so that nothing
is looked up on disk and nothing is fetched.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

ALWAYS = ("google/api/httpbody.proto", "google/rpc/error_details.proto", "google/rpc/status.proto")
"""Part of every bundle: Envoy transcodes bodies and error details by them."""

_MODULES = (
    "google.api.annotations_pb2",
    "google.api.httpbody_pb2",
    "google.protobuf.field_mask_pb2",
    "google.protobuf.struct_pb2",
    "google.protobuf.timestamp_pb2",
    "google.rpc.error_details_pb2",
    "google.rpc.status_pb2",
)


class ProtocError(RuntimeError):
    """protoc refused what we gave it, which is a defect of ours: what protoc says stands on stderr."""


def compile_descriptors(sources: Mapping[str, str]) -> FileDescriptorSet:
    """The files of `sources` (path to text) and all that they import, in dependency order, without source info.

    Raises:
        ProtocError: a file cannot be compiled.
    """
    with tempfile.TemporaryDirectory(prefix="promptflow-") as folder:
        root = Path(folder)
        for path, text in sources.items():
            target = root / "src" / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, "utf-8")
        (root / "imports.pb").write_bytes(_imported().SerializeToString())
        _run(
            f"--proto_path={root / 'src'}",
            f"--descriptor_set_in={root / 'imports.pb'}",
            "--include_imports",
            f"--descriptor_set_out={root / 'out.pb'}",
            *ALWAYS,
            *sorted(sources),
        )
        return FileDescriptorSet.FromString((root / "out.pb").read_bytes())


def generate_python(files: FileDescriptorSet, paths: Sequence[str]) -> Mapping[str, str]:
    """Modules of messages (with stubs) and of services for the files at `paths`: path of the module to its text.

    Raises:
        ProtocError: a file is not in the set, or cannot be generated from.
    """
    with tempfile.TemporaryDirectory(prefix="promptflow-") as folder:
        root = Path(folder)
        (root / "in.pb").write_bytes(files.SerializeToString())
        out = root / "out"
        out.mkdir()
        outputs = (f"--python_out={out}", f"--pyi_out={out}", f"--grpc_python_out={out}")
        _run(f"--descriptor_set_in={root / 'in.pb'}", *outputs, *sorted(paths))
        return {path.relative_to(out).as_posix(): path.read_text("utf-8") for path in sorted(out.rglob("*.py*"))}


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
