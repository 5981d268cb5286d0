"""The paths of documents: OpenAPI and the page that shows it.

Like the twins they exist at the edge alone; the server answers them with bodies that it wrote itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.api import annotations_pb2, httpbody_pb2  # type: ignore[import-untyped]
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto

PACKAGE = "promptflow_edge.v1"
SERVICE = f"{PACKAGE}.Documents"

PATHS: Mapping[str, tuple[str, ...]] = {
    "OpenApi": ("/openapi.json",),
    "OpenApi32": ("/openapi-3.2.json",),
    "DocsPage": ("/docs", "/"),
    "DocsAsset": ("/docs/{name}",),
}
"""Methods, and where each is in REST."""

_HTTP: Any = annotations_pb2.http


def documents_file() -> FileDescriptorProto:
    """The service as Envoy's transcoder reads it."""
    file = FileDescriptorProto(name="promptflow_edge/v1/documents.proto", package=PACKAGE, syntax="proto3")
    file.dependency.extend((annotations_pb2.DESCRIPTOR.name, httpbody_pb2.DESCRIPTOR.name))
    request = file.message_type.add(name="DocumentRequest")
    request.field.add(
        name="name", number=1, type=FieldDescriptorProto.TYPE_STRING, label=FieldDescriptorProto.LABEL_OPTIONAL
    )
    service = file.service.add(name=SERVICE.rpartition(".")[2])
    for name, (path, *others) in PATHS.items():
        method = service.method.add(
            name=name, input_type=f".{PACKAGE}.DocumentRequest", output_type=".google.api.HttpBody"
        )
        rule = method.options.Extensions[_HTTP]
        rule.get = path
        for other in others:
            rule.additional_bindings.add(get=other)
    return file
