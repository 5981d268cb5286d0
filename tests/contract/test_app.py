"""The server process in whole: real engine, real Redis, generated flows."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from tests.contract.executors import Gate
from tests.contract.serving import CallError, failure_of

from promptflow_codegen.bundle import Bundle, BundleError
from promptflow_codegen.generate import generate
from promptflow_codegen.project import Project
from promptflow_codegen.write import save_bundle
from promptflow_core.registry import ExecutorRegistry
from promptflow_core.settings import Settings
from promptflow_server.app import ServerApp, run_server
from promptflow_server.embedded_redis import EmbeddedRedis
from promptflow_server.services.contracts import Contracts, FlowContract, Message
from promptflow_workers.dispatch.link import Link

ROOT = Path(__file__).parents[2]
EXECUTORS = ("tests.contract.executors:Gate", "tests.contract.executors:Echo")
SYNC = 2
GATES = """
name: gates
inputs:
  - {name: gate, type: string, required: true}
steps:
  - {name: wait, executor: gate, config: {name: "{{ inputs.gate }}"}}
"""
TYPES = {
    "text": "string",
    "count": "integer",
    "small": "int32",
    "ratio": "number",
    "flag": "boolean",
    "data": "bytes",
    "page": "file",
    "moment": "timestamp",
    "wait": "duration",
    "anything": "json",
    "color": "enum, values: [red, green]",
    "tags": "'string[]'",
    "weights": "map<number>",
}
EVERY_TYPE = "\n".join(
    [
        "name: every_type",
        "inputs:",
        *(f"  - {{name: {name}, type: {spelled}, required: true}}" for name, spelled in TYPES.items()),
        "steps:",
        "  - name: answer",
        "    executor: echo",
        "    config:",
        *(f'      {name}: "{{{{ inputs.{name} }}}}"' for name in TYPES),
    ]
)
SERVING, NOT_SERVING = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    root = tmp_path_factory.mktemp("project")
    (root / "flows").mkdir()
    (root / "flows" / "gates.yaml").write_text(GATES)
    (root / "flows" / "every_type.yaml").write_text(EVERY_TYPE)
    shipped = ROOT / "flows" / "conditional_processing.yaml"
    (root / "flows" / shipped.name).write_text(shipped.read_text())
    return Project.at(root)


@pytest.fixture(scope="session")
def bundle(project: Project) -> Bundle:
    generated = generate(project, ExecutorRegistry.load(EXECUTORS).catalog())
    assert generated.bundle is not None, generated.diagnostics
    save_bundle(generated.bundle, project.bundles_dir)
    return generated.bundle


@dataclass
class Client:
    """Calls the flows of the bundle."""

    channel: grpc.aio.Channel
    contracts: Contracts
    target: str = ""

    def flow(self, name: str) -> FlowContract:
        return next(flow for flow in self.contracts.flows if flow.plan.name == name)

    async def execute(self, flow: str, **fields: Any) -> Message:
        contract = self.flow(flow)
        return await self._call(contract, "Execute", contract.execute_request(**fields), contract.execution)

    async def status(self, flow: str, execution_id: str) -> Message:
        contract = self.flow(flow)
        request = contract.get_status_request(execution_id=execution_id)
        return await self._call(contract, "GetStatus", request, contract.execution)

    async def cancel(self, flow: str, execution_id: str) -> Message:
        contract = self.flow(flow)
        return await self._call(
            contract, "Cancel", contract.cancel_request(execution_id=execution_id), contract.execution
        )

    async def watch(self, flow: str, execution_id: str) -> list[Message]:
        contract = self.flow(flow)
        request = contract.watch_request(execution_id=execution_id)
        call: Any = self.channel.unary_stream(f"/{contract.service}/Watch")(request.SerializeToString(), timeout=8)
        return [contract.event.FromString(data) async for data in call]

    async def components(self, flow: str) -> dict[str, bool]:
        contract = self.flow(flow)
        answer = await self._call(
            contract, "CheckHealth", contract.check_health_request(), contract.check_health_response
        )
        return {component.name: component.serving for component in answer.components}

    async def health(self, service: str = "") -> Any:
        call: Any = self.channel.unary_unary(
            "/grpc.health.v1.Health/Check", HealthCheckRequest.SerializeToString, HealthCheckResponse.FromString
        )
        return (await call(HealthCheckRequest(service=service), timeout=5)).status

    async def until(self, status: Any) -> None:
        """Return once the server as a whole has this health."""
        call = self.watch_health()
        while (await call.read()).status != status:
            pass
        call.cancel()

    def watch_health(self) -> Any:
        """The health of the server as a whole, as it changes."""
        call: Any = self.channel.unary_stream(
            "/grpc.health.v1.Health/Watch", HealthCheckRequest.SerializeToString, HealthCheckResponse.FromString
        )
        return call(HealthCheckRequest(), timeout=8)

    async def _call(self, contract: FlowContract, method: str, request: Message, answer: Any) -> Message:
        call: Any = self.channel.unary_unary(f"/{contract.service}/{method}")(request.SerializeToString(), timeout=8)
        try:
            return answer.FromString(await call)
        except grpc.aio.AioRpcError as error:
            raise await failure_of(error, call) from None


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


@asynccontextmanager
async def running(settings: Settings, bundle: Bundle, project: Project) -> AsyncIterator[tuple[Client, asyncio.Event]]:
    """A server until the end of the block, or until its event is set."""
    address, stop = f"127.0.0.1:{free_port()}", asyncio.Event()
    async with Link(settings.redis_url, patience_s=1.0) as link, asyncio.TaskGroup() as group:
        app = ServerApp.of(settings, bundle, project.bundles_dir, link)
        group.create_task(app.serve(address, stop, grace_s=5))
        async with grpc.aio.insecure_channel(address) as channel:
            yield Client(channel, Contracts.of(bundle), address), stop
        stop.set()


@pytest.fixture
def settings(redis_url: str, tmp_path: Path) -> Settings:
    return Settings(redis_url=redis_url, data_dir=tmp_path, executors=EXECUTORS)


@pytest.fixture
async def client(settings: Settings, bundle: Bundle, project: Project) -> AsyncIterator[Client]:
    async with running(settings, bundle, project) as (client, _):
        await client.until(SERVING)
        yield client


@pytest.mark.parametrize(("text", "path"), [("urgent!", "a"), ("no hurry", "b")])
async def test_a_generated_flow_runs(client: Client, text: str, path: str) -> None:
    execution = await client.execute("conditional_processing", text=text, execution_mode=SYNC)
    assert execution.result.route_decision.path == {"a": 1, "b": 2}[path]
    assert execution.result.HasField(f"path_{path}")
    assert not execution.result.HasField({"a": "path_b", "b": "path_a"}[path])


async def test_events_are_dense_and_are_told_again_after_the_end(client: Client) -> None:
    execution = await client.execute("conditional_processing", text="hello", execution_mode=SYNC)
    first = await client.watch("conditional_processing", execution.execution_id)
    second = await client.watch("conditional_processing", execution.execution_id)
    assert [event.sequence for event in first] == list(range(1, len(first) + 1))
    assert (first[0].WhichOneof("event"), first[-1].done) == ("accepted", execution)
    assert first == second


async def test_inputs_of_every_type_come_back(client: Client) -> None:
    inputs: dict[str, Any] = {
        "text": "hällo",
        "count": 2**53 + 1,
        "small": 0,
        "ratio": 0.0,
        "flag": False,
        "data": b"\x00\xff",
        "moment": {"seconds": 1_900_000_000, "nanos": 123_000},
        "wait": {"seconds": 90},
        "anything": {"list_value": {"values": [{"number_value": 1}, {"null_value": 0}]}},
        "color": 2,
        "tags": ["a", ""],
        "weights": {"x": 1.5},
    }
    execution = await client.execute("every_type", execution_mode=SYNC, page={"content": b"page"}, **inputs)
    answer = execution.result.answer
    expected = type(answer)(**inputs)
    expected.page.file_id = answer.page.file_id
    assert answer == expected
    assert answer.page.file_id.startswith(execution.execution_id)


async def test_cancel_ends_a_step_that_waits(client: Client) -> None:
    name = uuid4().hex
    Gate.new(name)
    running = await client.execute("gates", gate=name)
    async with asyncio.timeout(5):
        await Gate.reached[name].wait()
    await client.cancel("gates", running.execution_id)
    events = await client.watch("gates", running.execution_id)
    assert events[-1].done.status == 5


async def test_the_deadline_of_the_run_ends_a_step_that_waits(client: Client) -> None:
    name = uuid4().hex
    Gate.new(name)
    with pytest.raises(CallError) as caught:
        options = {"timeout": {"nanos": 200_000_000}}
        await client.execute("gates", gate=name, execution_mode=SYNC, options=options)
    assert caught.value.code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert caught.value.info.reason == "EXECUTION_TIMEOUT"
    assert caught.value.info.metadata["execution_id"] == caught.value.headers["x-execution-id"]


async def test_a_call_that_is_silent_for_long_is_kept_up_by_pings(client: Client) -> None:
    """As Envoy and the clients ask for it, faster: three pings that a server finds too many end all calls."""
    name = uuid4().hex
    Gate.new(name)
    options = (("grpc.keepalive_time_ms", 1_100), ("grpc.http2.max_pings_without_data", 0))
    async with grpc.aio.insecure_channel(client.target, options=options) as channel:
        waiting = asyncio.create_task(replace(client, channel=channel).execute("gates", gate=name, execution_mode=SYNC))
        done, _ = await asyncio.wait([waiting], timeout=6.5)
        assert not done, waiting.exception()
        Gate.opened[name].set()
        assert (await waiting).status == 3


async def test_health_names_every_service(client: Client) -> None:
    for flow in client.contracts.flows:
        assert await client.health(flow.service) == SERVING
    for name in ("ExecutionService", "FlowService"):
        assert await client.health(f"promptflow_api.v1.{name}") == SERVING
    with pytest.raises(grpc.aio.AioRpcError):
        await client.health("nothing")
    assert await client.components("gates") == {"redis": True}


async def test_a_server_that_leaves_lets_calls_in_hand_end_and_takes_no_more(
    settings: Settings, bundle: Bundle, project: Project
) -> None:
    name = uuid4().hex
    Gate.new(name)
    async with running(settings, bundle, project) as (client, stop):
        await client.until(SERVING)
        call = asyncio.create_task(client.execute("gates", gate=name, execution_mode=SYNC))
        async with asyncio.timeout(5):
            await Gate.reached[name].wait()
        watch: Any = client.watch_health()
        assert (await watch.read()).status == SERVING
        stop.set()
        assert (await watch.read()).status == NOT_SERVING
        with pytest.raises((CallError, grpc.aio.AioRpcError)):
            await client.execute("gates", gate=name)
        Gate.opened[name].set()
        assert (await call).result.wait.name == name


async def test_a_server_starts_without_redis_says_so_and_recovers(
    bundle: Bundle, project: Project, tmp_path: Path
) -> None:
    redis = EmbeddedRedis(tmp_path / "redis")
    url = await asyncio.to_thread(redis.start)
    await asyncio.to_thread(redis.close)
    settings = Settings(redis_url=url, data_dir=tmp_path, executors=EXECUTORS)
    async with running(settings, bundle, project) as (client, _):
        await client.until(NOT_SERVING)
        assert await client.components("gates") == {"redis": False}
        with pytest.raises(CallError) as caught:
            await client.execute("conditional_processing", text="hello")
        assert caught.value.info.reason == "STORE_UNAVAILABLE"
        await asyncio.to_thread(redis.start)
        try:
            await client.until(SERVING)
            execution = await client.execute("conditional_processing", text="hello", execution_mode=SYNC)
            assert execution.status == 3
        finally:
            await asyncio.to_thread(redis.close)


async def test_a_server_leaves_in_order_though_redis_has_gone(bundle: Bundle, project: Project, tmp_path: Path) -> None:
    redis = EmbeddedRedis(tmp_path / "redis")
    settings = Settings(redis_url=await asyncio.to_thread(redis.start), data_dir=tmp_path, executors=EXECUTORS)
    async with running(settings, bundle, project) as (client, _):
        await client.until(SERVING)
        await client.execute("conditional_processing", text="hello", execution_mode=SYNC)
        await asyncio.to_thread(redis.close)


async def test_sigterm_ends_the_process_in_order(settings: Settings, bundle: Bundle, project: Project) -> None:
    address = f"127.0.0.1:{free_port()}"
    server = asyncio.create_task(run_server(settings, project=project, address=address))
    async with grpc.aio.insecure_channel(address) as channel:
        await channel.channel_ready()
        await Client(channel, Contracts.of(bundle)).until(SERVING)
        os.kill(os.getpid(), signal.SIGTERM)
        async with asyncio.timeout(8):
            await server


async def test_a_port_that_is_taken_is_named(settings: Settings, bundle: Bundle, project: Project) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(OSError, match="Address already in use; stop what listens there") as caught:
            await run_server(settings, project=project, address=address)
    assert caught.value.filename == address


async def test_a_project_without_bundle_says_what_to_do(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="promptflow generate"):
        await run_server(settings, project=Project.at(tmp_path), address="127.0.0.1:1")
