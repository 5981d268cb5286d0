"""A grpc.aio server for echo.proto, twins included, and Envoy in front of it."""

from __future__ import annotations

import asyncio
import socket
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import httpx
from google.api import httpbody_pb2  # type: ignore[import-untyped]
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_tools import protoc

from promptflow_server.gateway.config import Address, Instance, derive_config
from promptflow_server.gateway.envoy import envoy_binary
from promptflow_server.gateway.twins import with_twins
from promptflow_server.gateway.xds import write_transcoder

HERE = Path(__file__).parent
ROOT = HERE.parents[3]
PACKAGE = "promptflow_api.flows.echo.v1"
SERVICE = f"{PACKAGE}.EchoService"


def compile_echo() -> bytes:
    """The descriptor set of echo.proto and its imports, as protoc orders it."""
    google = Path(httpbody_pb2.__file__).parents[2]
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "echo.pb")
        arguments = ["protoc", f"-I{HERE}", f"-I{google}", f"-I{Path(protoc.__file__).parent / '_proto'}"]
        assert protoc.main([*arguments, "--include_imports", f"--descriptor_set_out={target}", "echo.proto"]) == 0
        return target.read_bytes()


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


@dataclass
class Echo:
    """What the server was asked, and when a stream may go on."""

    calls: list[str] = field(default_factory=list)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    refuses: bool = False
    encodings: list[str] = field(default_factory=list)


class EchoServer:
    """Every method of echo.proto by hand; `echo` is shared with the test."""

    def __init__(self, descriptors: bytes, echo: Echo) -> None:
        pool = DescriptorPool()
        for file in FileDescriptorSet.FromString(descriptors).file:
            pool.Add(file)
        self._pool = pool
        self._echo = echo

    def _class(self, name: str) -> Any:
        return GetMessageClass(self._pool.FindMessageTypeByName(f"{PACKAGE}.{name}"))

    def handlers(self) -> grpc.GenericRpcHandler:
        execution, event = self._class("Execution"), self._class("Event")
        body = httpbody_pb2.HttpBody
        unary, read, stream = (
            grpc.unary_unary_rpc_method_handler,
            grpc.stream_unary_rpc_method_handler,
            grpc.stream_stream_rpc_method_handler,
        )
        return grpc.method_handlers_generic_handler(
            SERVICE,
            {
                "Execute": self._handler(unary, self._execute, self._class("ExecuteRequest"), execution),
                "GetStatus": self._handler(unary, self._status, self._class("GetStatusRequest"), execution),
                "ExecuteStream": self._handler(
                    grpc.unary_stream_rpc_method_handler, self._events, self._class("ExecuteRequest"), event
                ),
                "ExecuteHttp": self._handler(read, self._execute_http, body, execution),
                "ExecuteStreamHttp": self._handler(stream, self._stream_http, body, body),
            },
        )

    @staticmethod
    def _handler(kind: Callable[..., Any], behaviour: Any, request: Any, response: Any) -> Any:
        return kind(
            behaviour,
            request_deserializer=request.FromString,
            response_serializer=response.SerializeToString,
        )

    async def _execute(self, request: Any, context: Any) -> Any:
        self._echo.calls.append("Execute")
        return self._class("Execution")(execution_id="x", text=request.text)

    async def _status(self, request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        self._echo.calls.append("GetStatus")
        if self._echo.refuses and len(self._echo.calls) == 1:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "draining")
        return self._class("Execution")(execution_id=request.execution_id)

    async def _events(self, request: Any, context: Any) -> AsyncIterator[Any]:
        for sequence in (1, 2):
            yield self._class("Event")(sequence=sequence)

    async def _execute_http(self, bodies: AsyncIterator[Any], context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        self._echo.calls.append("ExecuteHttp")
        self._echo.encodings += [
            str(value) for key, value in context.invocation_metadata() or () if key == "content-encoding"
        ]
        if self._echo.refuses:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "no workers for the queue `ocr`")
        content_type, size = "", 0
        async for body in bodies:
            content_type, size = content_type or body.content_type, size + len(body.data)
        return self._class("Execution")(execution_id="x", text=content_type, size_bytes=size)

    async def _stream_http(self, bodies: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        accept = dict(context.invocation_metadata())["accept"]
        # As the server's own twins do: a gateway that compresses would hold events back.
        await context.send_initial_metadata((("cache-control", "no-store, no-transform"),))
        yield httpbody_pb2.HttpBody(content_type=accept, data=b"first\n\n")
        await self._echo.go_on.wait()
        yield httpbody_pb2.HttpBody(data=b"last\n\n")


@dataclass(frozen=True)
class RunningGateway:
    """Envoy before an echo server, both ready."""

    url: str
    admin: str
    metrics: str
    echo: Echo
    server: grpc.aio.Server
    client: httpx.AsyncClient


async def start_server(descriptors: bytes, echo: Echo, port: int) -> grpc.aio.Server:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((EchoServer(descriptors, echo).handlers(),))
    servicer = health.aio.HealthServicer()
    await servicer.set("", health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    return server


@asynccontextmanager
async def running_gateway(folder: Path) -> AsyncIterator[RunningGateway]:
    """The shipped envoy.yaml on free ports, before an echo server."""
    descriptors = compile_echo()
    gateway, admin, metrics, server_port = free_ports(4)
    write_transcoder(with_twins(descriptors), folder)
    instance = Instance(
        gateway=Address("127.0.0.1", gateway),
        admin=Address("127.0.0.1", admin),
        metrics=Address("127.0.0.1", metrics),
        servers=(Address("127.0.0.1", server_port),),
        xds_folder=folder,
    )
    config = folder / "envoy.json"
    config.write_bytes(derive_config(ROOT / "envoy.yaml", instance))
    echo = Echo()
    server = await start_server(descriptors, echo, server_port)
    command = [str(envoy_binary()), "-c", str(config), "--disable-hot-restart", "--concurrency", "1"]
    with (folder / "envoy.log").open("wb") as log:
        envoy = await asyncio.create_subprocess_exec(*command, stdout=log, stderr=log)
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{gateway}") as client:
            await until_it_serves(client, "/api/v1/echo/status/probe")
            echo.calls.clear()
            yield RunningGateway(
                url=f"http://127.0.0.1:{gateway}",
                admin=f"http://127.0.0.1:{admin}",
                metrics=f"http://127.0.0.1:{metrics}",
                echo=echo,
                server=server,
                client=client,
            )
    finally:
        envoy.terminate()
        await envoy.wait()
        echo.go_on.set()
        await server.stop(None)


async def until_it_serves(client: httpx.AsyncClient, path: str) -> None:
    """Return once a GET of `path` is answered with 200."""
    async with asyncio.timeout(8):
        while True:
            try:
                if (await client.get(path)).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.02)
