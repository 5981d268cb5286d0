"""Bundles of a project whose flows come and go, and server processes that serve them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import grpc
from grpc_reflection.v1alpha import reflection_pb2
from tests.contract import test_app
from tests.contract.serving import failure_of
from tests.contract.test_app import EXECUTORS, SERVING, Client, free_port

from promptflow_codegen.bundle import Bundle
from promptflow_codegen.generate import generate
from promptflow_codegen.project import Project
from promptflow_codegen.removal import CODE as REMOVED
from promptflow_codegen.write import write
from promptflow_core.registry import ExecutorRegistry
from promptflow_core.settings import Settings
from promptflow_server.app import ServerApp
from promptflow_server.gateway.edge import Edge
from promptflow_server.services.contracts import Contracts, Message
from promptflow_workers.dispatch.link import Link

GATES = test_app.GATES + 'outputs:\n  name: "{{ steps.wait.name }}"\n'
TWO_STEPS = GATES.replace(
    "outputs:", '  - {name: again, executor: transform, config: {value: "{{ steps.wait.name }}"}}\noutputs:'
)
HELLO = """
name: hello
inputs:
  - {name: text, type: string, required: true}
steps:
  - {name: say, executor: transform, config: {value: "hello {{ inputs.text }}"}}
outputs:
  said: "{{ steps.say.value }}"
"""
SERVICE = "promptflow_api.v1.FlowService"


@dataclass(frozen=True)
class Flows:
    """A project whose flows come and go; its locks stay."""

    project: Project

    def bundle(self, **flows: str) -> Bundle:
        """The bundle of exactly these flows, generated into the project."""
        for path in self.project.flows_dir.glob("*.yaml"):
            path.unlink()
        for name, text in flows.items():
            (self.project.flows_dir / f"{name}.yaml").write_text(text)
        generated = generate(self.project, ExecutorRegistry.load(EXECUTORS).catalog(), tolerated=(REMOVED,))
        assert generated.bundle is not None, generated.diagnostics
        write(self.project, generated)
        return generated.bundle


@dataclass
class Running(Client):
    """A server process of the test, and what may be asked of it."""

    app: ServerApp = field(kw_only=True)

    async def publish(
        self, packed: bytes, *, validate_only: bool = False, metadata: Mapping[str, str] | None = None
    ) -> Message:
        messages = self.app.bundles.live.current.contracts
        request = messages.message("promptflow_api.v1.PublishBundleRequest")(bundle=packed, validate_only=validate_only)
        data = await self.ask("PublishBundle", request.SerializeToString(), tuple((metadata or {}).items()))
        return messages.message("promptflow_api.v1.PublishBundleResponse").FromString(data)

    async def listed(self, page_size: int = 0) -> list[tuple[str, int]]:
        messages, found, token = self.app.bundles.live.current.contracts, list[tuple[str, int]](), ""
        while True:
            request = messages.message("promptflow_api.v1.ListFlowsRequest")(page_size=page_size, page_token=token)
            data = await self.ask("ListFlows", request.SerializeToString())
            page = messages.message("promptflow_api.v1.ListFlowsResponse").FromString(data)
            found += [(flow.flow, flow.version) for flow in page.flows]
            token = page.next_page_token
            if not token:
                return found

    async def reflected(self) -> set[str]:
        call: Any = self.channel.stream_stream(
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )(timeout=8)
        await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
        answer = await call.read()
        await call.done_writing()
        return {service.name for service in answer.list_services_response.service}

    async def ask(self, method: str, data: bytes, metadata: tuple[tuple[str, str], ...] = ()) -> bytes:
        multicallable: Any = self.channel.unary_unary(f"/{SERVICE}/{method}")
        call = multicallable(data, timeout=15, metadata=metadata)
        try:
            answer: bytes = await call
        except grpc.aio.AioRpcError as error:
            raise await failure_of(error, call) from None
        return answer

    def knowing(self, bundle: Bundle) -> Running:
        """The same server for a client that was generated from `bundle`."""
        return replace(self, contracts=Contracts.of(bundle))

    async def serves(self, digest: str) -> None:
        """Return once the server serves this bundle."""
        swapped = asyncio.Event()
        self.app.bundles.live.on_swap(lambda _: swapped.set())
        async with asyncio.timeout(8):
            while self.app.bundles.live.current.bundle.digest != digest:
                await swapped.wait()
                swapped.clear()


@asynccontextmanager
async def running(
    settings: Settings, bundle: Bundle, folder: Path, edge: Edge | None = None, *, grace_s: float = 5
) -> AsyncIterator[Running]:
    """A server process of the test, which serves."""
    async with starting(settings, bundle, folder, edge, grace_s=grace_s) as client:
        await client.until(SERVING)
        yield client


@asynccontextmanager
async def starting(
    settings: Settings, bundle: Bundle, folder: Path, edge: Edge | None = None, *, grace_s: float = 5
) -> AsyncIterator[Running]:
    """A server process of the test, from its first moment."""
    address, stop = f"127.0.0.1:{free_port()}", asyncio.Event()
    async with Link(settings.redis_url, patience_s=1.0) as link, asyncio.TaskGroup() as group:
        app = ServerApp.of(settings, bundle, folder, link, edge=edge)
        group.create_task(app.serve(address, stop, grace_s=grace_s))
        async with grpc.aio.insecure_channel(address) as channel:
            yield Running(channel, Contracts.of(bundle), address, app=app)
        stop.set()
