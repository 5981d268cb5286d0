"""Bundles published into running servers: what follows at once, what is refused, what stays."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc
import pytest
import redis
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_reflection.v1alpha import reflection_pb2
from tests.contract.executors import Gate
from tests.contract.serving import CallError, failure_of
from tests.contract.test_app import EXECUTORS, SERVING, SYNC, Client, free_port

from promptflow_codegen.bundle import Bundle, load_bundle
from promptflow_codegen.generate import generate
from promptflow_codegen.pack import pack
from promptflow_codegen.project import Project
from promptflow_codegen.write import write
from promptflow_core.registry import ExecutorRegistry
from promptflow_core.settings import Settings
from promptflow_server.app import ServerApp
from promptflow_server.embedded_redis import EmbeddedRedis
from promptflow_server.gateway.edge import Edge
from promptflow_server.gateway.envoy import GatewayError
from promptflow_server.gateway.xds import Candidate
from promptflow_server.services.contracts import Contracts, Message
from promptflow_workers.dispatch.link import Link

GATES = """
name: gates
inputs:
  - {name: gate, type: string, required: true}
steps:
  - {name: wait, executor: gate, config: {name: "{{ inputs.gate }}"}}
outputs:
  name: "{{ steps.wait.name }}"
"""
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
        generated = generate(self.project, ExecutorRegistry.load(EXECUTORS).catalog())
        assert generated.bundle is not None, generated.diagnostics
        write(self.project, generated)
        return generated.bundle


@pytest.fixture
def flows(tmp_path: Path) -> Flows:
    (tmp_path / "project" / "flows").mkdir(parents=True)
    return Flows(Project.at(tmp_path / "project"))


@pytest.fixture(scope="module")
def own_redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    embedded = EmbeddedRedis(tmp_path_factory.mktemp("redis"))
    yield embedded.start()
    embedded.close()


@pytest.fixture
def settings(own_redis_url: str, tmp_path: Path) -> Settings:
    with redis.Redis.from_url(own_redis_url) as client:
        client.flushall()
    return Settings(redis_url=own_redis_url, data_dir=tmp_path, executors=EXECUTORS)


@dataclass
class Running(Client):
    """A server process of the test, and what may be asked of it."""

    app: ServerApp

    async def publish(
        self, packed: bytes, *, validate_only: bool = False, metadata: Mapping[str, str] | None = None
    ) -> Message:
        messages = self.app.live.current.contracts
        request = messages.message("promptflow_api.v1.PublishBundleRequest")(bundle=packed, validate_only=validate_only)
        data = await self.ask("PublishBundle", request.SerializeToString(), tuple((metadata or {}).items()))
        return messages.message("promptflow_api.v1.PublishBundleResponse").FromString(data)

    async def listed(self, page_size: int = 0) -> list[tuple[str, int]]:
        messages, found, token = self.app.live.current.contracts, list[tuple[str, int]](), ""
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
        self.app.live.on_swap(lambda _: swapped.set())
        async with asyncio.timeout(8):
            while self.app.live.current.bundle.digest != digest:
                await swapped.wait()
                swapped.clear()


@asynccontextmanager
async def running(settings: Settings, bundle: Bundle, folder: Path, edge: Edge | None = None) -> AsyncIterator[Running]:
    address, stop = f"127.0.0.1:{free_port()}", asyncio.Event()
    async with Link(settings.redis_url, patience_s=1.0) as link, asyncio.TaskGroup() as group:
        app = ServerApp.of(settings, bundle, folder, link, edge=edge)
        group.create_task(app.serve(address, stop, grace_s=5))
        async with grpc.aio.insecure_channel(address) as channel:
            client = Running(channel, Contracts.of(bundle), app)
            await client.until(SERVING)
            yield client
        stop.set()


async def test_a_published_flow_is_everywhere_at_once_and_one_that_is_gone_nowhere(
    settings: Settings, flows: Flows
) -> None:
    first, second = flows.bundle(gates=GATES), flows.bundle(hello=HELLO)
    gates, hello = (Contracts.of(bundle).services[0] for bundle in (first, second))
    async with running(settings, first, flows.project.bundles_dir) as server:
        assert (await server.listed(), gates in await server.reflected()) == ([("gates", 1)], True)
        answer = await server.publish(pack(second))
        assert (answer.bundle_digest, answer.previous_digest) == (second.digest, first.digest)
        new = server.knowing(second)
        assert (await new.execute("hello", text="you", execution_mode=SYNC)).result.said == "hello you"
        assert await server.listed() == [("hello", 1)]
        assert (await server.reflected()) & {gates, hello} == {hello}
        assert await server.health(hello) == SERVING
        with pytest.raises(grpc.aio.AioRpcError, match="NOT_FOUND"):
            await server.health(gates)
        with pytest.raises(CallError) as caught:
            await server.execute("gates", gate="x")
        assert caught.value.code is grpc.StatusCode.UNIMPLEMENTED


async def test_a_run_that_began_before_is_driven_shown_and_ended_by_its_own_bundle(
    settings: Settings, flows: Flows
) -> None:
    first, second, third = flows.bundle(gates=TWO_STEPS), flows.bundle(gates=GATES), flows.bundle(hello=HELLO)
    done, cancelled = uuid4().hex, uuid4().hex
    async with running(settings, first, flows.project.bundles_dir / "none") as server:
        for name in (done, cancelled):
            Gate.new(name)
        runs = [await server.execute("gates", gate=name) for name in (done, cancelled)]
        async with asyncio.timeout(5):
            await Gate.reached[done].wait()
        await server.publish(pack(second))
        Gate.opened[done].set()
        events = await server.watch("gates", runs[0].execution_id)
        assert events[-1].done.steps.again.output.value == done, "the step that the new bundle lacks ran and is told"
        assert [event.sequence for event in events] == list(range(1, len(events) + 1))
        # A client of the new contract reads the same bytes.
        newer = await server.knowing(second).status("gates", runs[0].execution_id)
        assert (newer.status, newer.result.name) == (3, done)
        await server.publish(pack(third))
        assert (await server.status("gates", runs[0].execution_id)).steps.again.output.value == done
        assert (await server.watch("gates", runs[0].execution_id))[-1].done == events[-1].done
        await server.cancel("gates", runs[1].execution_id)
        assert (await server.watch("gates", runs[1].execution_id))[-1].done.status == 5
    # The process is another, its disk is empty, the flow is gone: Redis has the bundle that the run pins.
    async with running(settings, third, flows.project.bundles_dir / "none") as server:
        old = server.knowing(first)
        assert (await old.status("gates", runs[0].execution_id)).steps.again.output.value == done


async def test_streams_go_on_through_ten_swaps_and_calls_never_fail(settings: Settings, flows: Flows) -> None:
    bundles = [flows.bundle(gates=GATES, hello=HELLO.replace("hello {{", f"{word} {{{{")) for word in ("hello", "hi")]
    name = uuid4().hex
    Gate.new(name)
    async with running(settings, bundles[0], flows.project.bundles_dir) as server:
        run = await server.execute("gates", gate=name)
        watching = asyncio.create_task(server.watch("gates", run.execution_id))
        is_over, said = asyncio.Event(), list[str]()

        async def call() -> None:
            while not is_over.is_set():
                said.append((await server.execute("hello", text="x", execution_mode=SYNC)).result.said)

        async with asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(call())
            for number in range(10):
                await server.publish(pack(bundles[(number + 1) % 2]))
            is_over.set()
        Gate.opened[name].set()
        events = await watching
        assert [event.sequence for event in events] == list(range(1, len(events) + 1))
        assert events[-1].done.status == 3
        assert set(said) == {"hello x", "hi x"}


async def test_every_server_follows_and_one_that_starts_later_begins_with_what_was_published(
    settings: Settings, flows: Flows
) -> None:
    first, second = flows.bundle(gates=GATES), flows.bundle(gates=GATES, hello=HELLO)
    folder = flows.project.bundles_dir
    async with running(settings, first, folder) as one, running(settings, first, folder) as other:
        await one.publish(pack(second))
        # Whoever is asked for a method that it does not have looks first.
        new = other.knowing(second)
        assert (await new.execute("hello", text="you", execution_mode=SYNC)).result.said == "hello you"
        async with running(settings, first, folder) as later:
            assert later.app.live.current.bundle.digest == second.digest
        third = flows.bundle(gates=GATES)
        await other.publish(pack(third))
        await one.serves(third.digest)


async def test_a_push_that_is_lost_is_made_up_for(settings: Settings, flows: Flows) -> None:
    first, second = flows.bundle(gates=GATES), flows.bundle(gates=GATES, hello=HELLO)
    async with running(settings, first, flows.project.bundles_dir) as server:
        with redis.Redis.from_url(settings.redis_url) as client:
            # As `publish` leaves it, without the announcement.
            client.set(f"pf:{{bundles}}:{second.digest}", pack(second))
            client.hset("pf:{bundles}:current", "digest", second.digest)
        await server.serves(second.digest)


async def test_of_two_that_publish_at_once_all_servers_serve_the_later(settings: Settings, flows: Flows) -> None:
    first = flows.bundle(gates=GATES)
    offers = [flows.bundle(gates=GATES, hello=HELLO.replace("hello {{", f"{word} {{{{")) for word in ("a", "b", "c")]
    folder = flows.project.bundles_dir
    async with running(settings, first, folder) as one, running(settings, first, folder) as other:
        answers = await asyncio.gather(
            *(server.publish(pack(offer)) for offer in offers for server in (one, other)), return_exceptions=True
        )
        for answer in answers:
            if isinstance(answer, BaseException):
                assert isinstance(answer, CallError), answer
                assert answer.info.reason == "BUNDLE_CONFLICT"
        assert not all(isinstance(answer, BaseException) for answer in answers)
        with redis.Redis.from_url(settings.redis_url) as client:
            published = client.hget("pf:{bundles}:current", "digest").decode()
        await asyncio.gather(one.serves(published), other.serves(published))


async def test_publishing_again_and_validating_change_nothing(settings: Settings, flows: Flows) -> None:
    first, second = flows.bundle(gates=GATES), flows.bundle(gates=GATES, hello=HELLO)
    async with running(settings, first, flows.project.bundles_dir) as server:
        answer = await server.publish(pack(second), validate_only=True)
        assert (answer.bundle_digest, answer.previous_digest) == (second.digest, first.digest)
        assert await server.listed() == [("gates", 1)]
        with redis.Redis.from_url(settings.redis_url) as client:
            assert client.hget("pf:{bundles}:current", "digest") is None
        for _ in range(2):
            answer = await server.publish(pack(first))
            assert answer.previous_digest == answer.bundle_digest == first.digest


def _without_service(bundle: Bundle) -> Bundle:
    files = FileDescriptorSet.FromString(bundle.descriptors)
    kept = [file for file in files.file if not file.name.endswith("hello.proto")]
    return Bundle.of(FileDescriptorSet(file=kept).SerializeToString(), bundle.plans)


def _with_step(bundle: Bundle, **changes: Any) -> Bundle:
    plans = [
        replace(plan, steps=(replace(plan.steps[0], **changes), *plan.steps[1:])) if plan.name == "hello" else plan
        for plan in bundle.plans
    ]
    return Bundle.of(bundle.descriptors, tuple(plans))


def _renumbered(bundle: Bundle) -> Bundle:
    files = FileDescriptorSet.FromString(bundle.descriptors)
    for file in files.file:
        for message in file.message_type if file.name.endswith("gates.proto") else ():
            for field in message.field if message.name == "ExecuteRequest" else ():
                field.number += 7 if field.name == "gate" else 0
    return Bundle.of(files.SerializeToString(), bundle.plans)


REFUSED: Mapping[str, tuple[Callable[[Bundle], Bundle | bytes], str]] = {
    "no bundle": (lambda _: b"rubbish", "this is no bundle"),
    "a newer format": (lambda _: b"promptflow-bundle 99 9.9.9\n", "packed by PromptFlow 9.9.9"),
    "no descriptors": (lambda bundle: Bundle.of(b"\xff\xff", bundle.plans), "is damaged"),
    "a plan without its service": (_without_service, "is damaged"),
    "an executor that is not here": (lambda bundle: _with_step(bundle, executor="teleport"), "`teleport`, which this"),
    "another pool": (lambda bundle: _with_step(bundle, queue="sentiment"), "in the pool `sentiment`"),
    "a template that does not compile": (lambda bundle: _with_step(bundle, config={"value": "{{ x | no }}"}), "no"),
    "a number that moved": (_renumbered, "breaks the wire"),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_what_cannot_be_served_changes_nothing_and_says_why(name: str, settings: Settings, flows: Flows) -> None:
    spoil, message = REFUSED[name]
    first, second = flows.bundle(gates=GATES), flows.bundle(gates=GATES, hello=HELLO)
    spoilt = spoil(second)
    async with running(settings, first, flows.project.bundles_dir) as server:
        with pytest.raises(CallError) as caught:
            await server.publish(pack(spoilt) if isinstance(spoilt, Bundle) else spoilt)
        assert caught.value.code is grpc.StatusCode.FAILED_PRECONDITION
        assert caught.value.info.reason == "BUNDLE_REFUSED"
        assert message in json.dumps(caught.value.violations), caught.value
        assert await server.listed() == [("gates", 1)]
        with redis.Redis.from_url(settings.redis_url) as client:
            assert client.hget("pf:{bundles}:current", "digest") is None
        # The turn is given back: what is right is taken.
        assert (await server.publish(pack(second))).bundle_digest == second.digest


async def test_a_published_bundle_that_this_release_cannot_read_leaves_the_old_one(
    settings: Settings, flows: Flows
) -> None:
    first = flows.bundle(gates=GATES, hello=HELLO)
    async with running(settings, first, flows.project.bundles_dir) as server:
        with redis.Redis.from_url(settings.redis_url) as client:
            client.set("pf:{bundles}:0123456789abcdef", b"promptflow-bundle 99 9.9.9\n")
            client.hset("pf:{bundles}:current", "digest", "0123456789abcdef")
        assert await server.app.follower.catch_up() is False
        assert (await server.execute("hello", text="x", execution_mode=SYNC)).result.said == "hello x"


async def test_flows_come_in_pages(settings: Settings, flows: Flows) -> None:
    bundle = flows.bundle(**{name: HELLO.replace("name: hello", f"name: {name}") for name in ("a", "b", "c", "d", "e")})
    async with running(settings, bundle, flows.project.bundles_dir) as server:
        assert await server.listed(page_size=2) == [(name, 1) for name in "abcde"]
        with pytest.raises(CallError, match="page_token"):
            request = server.contracts.message("promptflow_api.v1.ListFlowsRequest")(page_token="../x")
            await server.ask("ListFlows", request.SerializeToString())


async def test_only_this_machine_or_the_token_publishes(settings: Settings, flows: Flows) -> None:
    first = flows.bundle(gates=GATES)
    named = settings.model_copy(update={"publish_token": "s3cret"})
    through = {"x-forwarded-for": "127.0.0.1"}
    async with running(named, first, flows.project.bundles_dir) as server:
        for refused in (through, {"authorization": "Bearer wrong"}, {**through, "authorization": "Bearer "}):
            with pytest.raises(CallError) as caught:
                await server.publish(pack(first), metadata=refused)
            assert caught.value.code is grpc.StatusCode.PERMISSION_DENIED
        await server.publish(pack(first), metadata={**through, "authorization": "Bearer s3cret"})


async def test_health_that_is_watched_follows_the_flows(settings: Settings, flows: Flows) -> None:
    first, second = flows.bundle(gates=GATES), flows.bundle(hello=HELLO)
    async with running(settings, first, flows.project.bundles_dir) as server:
        watch: Any = server.channel.unary_stream(
            "/grpc.health.v1.Health/Watch", HealthCheckRequest.SerializeToString, HealthCheckResponse.FromString
        )(HealthCheckRequest(service=Contracts.of(second).services[0]), timeout=8)
        assert (await watch.read()).status == HealthCheckResponse.SERVICE_UNKNOWN
        await server.publish(pack(second))
        assert (await watch.read()).status == SERVING
        await server.publish(pack(first))
        assert (await watch.read()).status == HealthCheckResponse.SERVICE_UNKNOWN
        watch.cancel()


def test_the_bundle_on_disk_is_read_as_it_was_written(flows: Flows) -> None:
    bundle = flows.bundle(hello=HELLO)
    assert load_bundle(flows.project.bundles_dir) == bundle


class StubbornEdge(Edge):
    """An Envoy that would take every bundle, and then does not take the second."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[Path] = []

    async def put(self, candidate: Candidate) -> None:
        """Refuse, where another was taken before."""
        if self.given and candidate.descriptors.name != self.given[0].name:
            raise GatewayError("Envoy refused the new transcoder")
        self.given.append(candidate.descriptors)


async def test_what_envoy_does_not_take_is_taken_back_everywhere(settings: Settings, flows: Flows) -> None:
    first, second = flows.bundle(gates=GATES), flows.bundle(gates=GATES, hello=HELLO)
    folder, edge = flows.project.bundles_dir, StubbornEdge()
    async with running(settings, first, folder, edge) as one, running(settings, first, folder) as other:
        async with asyncio.timeout(5):
            while not edge.given:  # noqa: ASYNC110  # the server gives it what it begins with
                await asyncio.sleep(0.01)
        with pytest.raises(CallError, match="Envoy refused") as caught:
            await one.publish(pack(second))
        assert caught.value.info.reason == "BUNDLE_REFUSED"
        assert await one.listed() == [("gates", 1)]
        assert edge.given[-1].name == edge.given[0].name
        await other.serves(first.digest)
        with redis.Redis.from_url(settings.redis_url) as client:
            assert client.hget("pf:{bundles}:current", "digest").decode() == first.digest
