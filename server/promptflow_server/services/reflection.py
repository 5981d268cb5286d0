"""Server reflection, v1 and v1alpha, over the descriptors of a bundle.

Both versions have the same messages on the wire; grpcio ships the older, so v1 is that one under its new name.
"""

from __future__ import annotations

from typing import Any

import grpc
from google.protobuf import descriptor_pb2
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.reflection import aio

from promptflow_server.services.contracts import pool_of

V1, V1ALPHA = "grpc.reflection.v1", "grpc.reflection.v1alpha"
SERVICES = (f"{V1}.ServerReflection", f"{V1ALPHA}.ServerReflection")


def reflection_handlers(descriptors: bytes, services: tuple[str, ...]) -> list[grpc.GenericRpcHandler]:
    """Handlers that tell of `services`; `descriptors` is a serialized FileDescriptorSet in dependency order."""
    return [_Reflection(descriptors, services)]


class _Reflection(grpc.GenericRpcHandler):
    """Both versions of the service. Its pool is built when it is first asked: few servers ever are."""

    def __init__(self, descriptors: bytes, services: tuple[str, ...]) -> None:
        self._descriptors = descriptors
        self._services = services
        self._method: Any = None

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """The one method that there is."""
        service, _, method = str(handler_call_details.method).removeprefix("/").rpartition("/")
        if service not in SERVICES or method != "ServerReflectionInfo":
            return None
        if self._method is None:
            self._method = _handler(self._descriptors, self._services)
        return self._method


def _handler(descriptors: bytes, services: tuple[str, ...]) -> Any:
    files = descriptor_pb2.FileDescriptorSet.FromString(descriptors)
    for own in (health_pb2.DESCRIPTOR, reflection_pb2.DESCRIPTOR):
        files.file.add().ParseFromString(own.serialized_pb)
    files.file.append(_as_v1(reflection_pb2.DESCRIPTOR.serialized_pb))
    servicer: Any = aio.ReflectionServicer((*services, *SERVICES), pool=pool_of(files))
    return grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        reflection_pb2.ServerReflectionRequest.FromString,
        reflection_pb2.ServerReflectionResponse.SerializeToString,
    )


def _as_v1(data: bytes) -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto.FromString(data)
    file.name, file.package = file.name.replace("v1alpha", "v1"), V1
    for message in file.message_type:
        for field in (field for field in message.field if field.type_name):
            field.type_name = field.type_name.replace(f".{V1ALPHA}.", f".{V1}.")
    for method in (method for service in file.service for method in service.method):
        method.input_type = method.input_type.replace(f".{V1ALPHA}.", f".{V1}.")
        method.output_type = method.output_type.replace(f".{V1ALPHA}.", f".{V1}.")
    return file
