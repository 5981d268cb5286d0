"""Server reflection, v1 and v1alpha, over the pool of a bundle.

Both versions have the same messages on the wire; grpcio ships the older, so v1 is that one under its new name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import grpc
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor, FileDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.reflection import aio

from promptflow_codegen.descriptors import pool_of

V1, V1ALPHA = "grpc.reflection.v1", "grpc.reflection.v1alpha"
SERVICES = (f"{V1}.ServerReflection", f"{V1ALPHA}.ServerReflection")

T = TypeVar("T")


def reflection_handlers(pool: DescriptorPool, services: tuple[str, ...]) -> list[grpc.GenericRpcHandler]:
    """Handlers that tell of `services`, which `pool` knows, or which every server has."""
    return [_Reflection(pool, services)]


class _Reflection(grpc.GenericRpcHandler):
    """Both versions of the service, made when they are first asked: few servers ever are."""

    def __init__(self, pool: DescriptorPool, services: tuple[str, ...]) -> None:
        self._pool = pool
        self._services = services
        self._method: Any = None

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """The one method that there is."""
        service, _, method = str(handler_call_details.method).removeprefix("/").rpartition("/")
        if service not in SERVICES or method != "ServerReflectionInfo":
            return None
        if self._method is None:
            self._method = _handler(_Pools(self._pool, pool_of(_files_of_every_server().file)), self._services)
        return self._method


class _Pools:
    """A bundle's pool, and beside it what every server has: neither grows by the other."""

    def __init__(self, bundle: DescriptorPool, own: DescriptorPool) -> None:
        self._pools = (bundle, own)

    def FindFileByName(self, name: str) -> FileDescriptor:  # noqa: N802  # as grpcio calls it
        """Raises KeyError, as all do."""
        return self._first(lambda pool: pool.FindFileByName(name))

    def FindFileContainingSymbol(self, symbol: str) -> FileDescriptor:  # noqa: N802  # as grpcio calls it
        return self._first(lambda pool: pool.FindFileContainingSymbol(symbol))

    def FindMessageTypeByName(self, name: str) -> Descriptor:  # noqa: N802  # as grpcio calls it
        return self._first(lambda pool: pool.FindMessageTypeByName(name))

    def FindExtensionByNumber(self, message: Descriptor, number: int) -> FieldDescriptor:  # noqa: N802  # as above
        return self._first(lambda pool: pool.FindExtensionByNumber(message, number))

    def FindAllExtensions(self, message: Descriptor) -> list[FieldDescriptor]:  # noqa: N802  # as grpcio calls it
        found = (pool.FindAllExtensions(message) for pool in self._pools if _has(pool, message))
        return [extension for extensions in found for extension in extensions]

    def _first(self, find: Callable[[DescriptorPool], T]) -> T:
        bundle, own = self._pools
        try:
            return find(bundle)
        except KeyError:
            return find(own)


def _has(pool: DescriptorPool, message: Descriptor) -> bool:
    return message.file.pool is pool


def _files_of_every_server() -> descriptor_pb2.FileDescriptorSet:
    files = descriptor_pb2.FileDescriptorSet()
    for own in (health_pb2.DESCRIPTOR, reflection_pb2.DESCRIPTOR):
        files.file.add().ParseFromString(own.serialized_pb)
    files.file.append(_as_v1(reflection_pb2.DESCRIPTOR.serialized_pb))
    return files


def _handler(pools: _Pools, services: tuple[str, ...]) -> Any:
    servicer: Any = aio.ReflectionServicer((*services, *SERVICES), pool=pools)
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
