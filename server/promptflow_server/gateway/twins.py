"""The descriptor set as HTTP sees it.

A method that takes a flow's inputs, or that streams, gets a twin `<Method>Http` over google.api.HttpBody which takes
over its HTTP paths: the server then reads JSON and multipart bodies itself, and writes SSE, NDJSON or an array. Envoy
transcodes all other methods. Twins exist in Envoy's copy alone: in no `.proto`, no reflection, no client.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from google.api import annotations_pb2, httpbody_pb2  # type: ignore[import-untyped]
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import (
    FileDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
    ServiceDescriptorProto,
)
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]

from promptflow_server.gateway.documents import documents_file

TWIN_SUFFIX = "Http"
INPUTS_MESSAGES = (".ExecuteRequest", ".BatchExecuteRequest")

_HTTP: Any = annotations_pb2.http
_HTTP_BODY = ".google.api.HttpBody"
_HTTP_BODY_FILE = "google/api/httpbody.proto"
# Envoy renders errors as these types, whether or not a flow imports them.
_NEEDED: tuple[FileDescriptor, ...] = (
    annotations_pb2.DESCRIPTOR,
    httpbody_pb2.DESCRIPTOR,
    status_pb2.DESCRIPTOR,
    error_details_pb2.DESCRIPTOR,
)


@dataclass(frozen=True, slots=True)
class EdgeContract:
    """What Envoy's transcoder is given: a serialized FileDescriptorSet, and the services in it that have HTTP paths."""

    descriptors: bytes
    services: tuple[str, ...]


def with_twins(descriptors: bytes) -> EdgeContract:
    """A serialized FileDescriptorSet with its twins, as Envoy is to serve it; equal sets give equal bytes.

    Files come in dependency order, since Envoy builds its pool in file order and keeps its old set where that fails.
    """
    files = {file.name: file for file in FileDescriptorSet.FromString(descriptors).file}
    for needed in _NEEDED:
        _add(needed, files)
    documents = documents_file()
    files[documents.name] = documents
    services: list[str] = []
    for file in files.values():
        file.ClearField("source_code_info")
        for service in file.service:
            if not any(method.options.HasExtension(_HTTP) for method in service.method):
                continue
            services.append(f"{file.package}.{service.name}")
            if _add_twins(service) and _HTTP_BODY_FILE not in file.dependency:
                file.dependency.append(_HTTP_BODY_FILE)
    ordered = FileDescriptorSet(file=_in_dependency_order(files))
    return EdgeContract(ordered.SerializeToString(deterministic=True), tuple(sorted(services)))


def needs_twin(method: MethodDescriptorProto) -> bool:
    """Whether the server itself reads this method's HTTP body or writes its HTTP stream."""
    return method.options.HasExtension(_HTTP) and (_takes_inputs(method) or method.server_streaming)


def _takes_inputs(method: MethodDescriptorProto) -> bool:
    return method.input_type.endswith(INPUTS_MESSAGES)


def _add_twins(service: ServiceDescriptorProto) -> bool:
    originals = [method for method in service.method if needs_twin(method)]
    for method in originals:
        takes_inputs, streams = _takes_inputs(method), method.server_streaming
        twin = service.method.add(
            name=method.name + TWIN_SUFFIX,
            input_type=_HTTP_BODY if takes_inputs else method.input_type,
            output_type=_HTTP_BODY if streams else method.output_type,
            client_streaming=takes_inputs,
            server_streaming=streams,
        )
        twin.options.Extensions[_HTTP].CopyFrom(method.options.Extensions[_HTTP])
        method.options.ClearExtension(_HTTP)
    return bool(originals)


def _add(file: FileDescriptor, files: dict[str, FileDescriptorProto]) -> None:
    if file.name not in files:
        files[file.name] = FileDescriptorProto.FromString(file.serialized_pb)
        for dependency in file.dependencies:
            _add(dependency, files)


def _in_dependency_order(files: dict[str, FileDescriptorProto]) -> list[FileDescriptorProto]:
    ordered: dict[str, FileDescriptorProto] = {}

    def place(name: str) -> None:
        if name in ordered:
            return
        for dependency in files[name].dependency:
            place(dependency)
        ordered[name] = files[name]

    for name in files:
        place(name)
    return list(ordered.values())
