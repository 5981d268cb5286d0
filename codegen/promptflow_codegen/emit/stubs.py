"""Python modules of the messages and services, for clients."""

from __future__ import annotations

from collections.abc import Mapping

from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorSet

from promptflow_codegen.compile import generate_python
from promptflow_codegen.naming import PACKAGE_ROOT

_SERVER_ONLY = frozenset(
    {
        "buf/validate/validate.proto",
        "google/api/annotations.proto",
        "google/api/http.proto",
        "google/api/httpbody.proto",
    }
)


def emit_stubs(files: FileDescriptorSet) -> Mapping[str, str]:
    """Modules, stubs and services of all our files, by path relative to the folder of Python packages."""
    ours = [file for file in files.file if _is_ours(file.name)]
    modules = generate_python(client_descriptors(files), [file.name for file in ours])
    # protoc writes a module of services for files that have none, too.
    empty = {file.name.removesuffix(".proto") + "_pb2_grpc.py" for file in ours if not file.service}
    return {path: text for path, text in modules.items() if path not in empty}


def client_descriptors(files: FileDescriptorSet) -> FileDescriptorSet:
    """The set without REST paths and constraints.

    They are the server's business, and generated modules would import packages for them that clients do not have.
    """
    kept = FileDescriptorSet()
    for file in files.file:
        if file.name in _SERVER_ONLY:
            continue
        copy = kept.file.add()
        copy.CopyFrom(file)
        if not _is_ours(file.name):
            continue
        copy.ClearField("dependency")
        copy.dependency.extend(name for name in file.dependency if name not in _SERVER_ONLY)
        for message in copy.message_type:
            _strip(message)
        for service in copy.service:
            for method in service.method:
                method.ClearField("options")
    return kept


def _strip(message: DescriptorProto) -> None:
    for field in message.field:
        field.ClearField("options")
    for nested in message.nested_type:
        _strip(nested)


def _is_ours(path: str) -> bool:
    return path.startswith(f"{PACKAGE_ROOT}/")
