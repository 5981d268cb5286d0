"""Bundles published into running servers: what follows at once, what is refused, what stays."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from uuid import uuid4

import grpc
import pytest
import redis
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from tests.contract.bundles import GATES, HELLO, TWO_STEPS, Flows, running
from tests.contract.executors import Gate
from tests.contract.serving import CallError
from tests.contract.test_app import SERVING, SYNC

from promptflow_codegen.bundle import Bundle, load_bundle
from promptflow_codegen.pack import pack
from promptflow_core.settings import Settings
from promptflow_server.gateway.edge import Edge, EdgeError, Staged
from promptflow_server.services.contracts import Contracts


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
            assert later.app.bundles.live.current.bundle.digest == second.digest
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
        assert await server.app.bundles.follower.catch_up() is False
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
    async with running(settings, first, flows.project.bundles_dir) as server:
        await server.publish(pack(first))
        with pytest.raises(CallError, match="set `PROMPTFLOW_PUBLISH_TOKEN`"):
            await server.publish(pack(first), metadata=through)
    async with running(named, first, flows.project.bundles_dir) as server:
        for refused in ({}, through, {"authorization": "Bearer wrong"}, {**through, "authorization": "Bearer "}):
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
        self.given: list[str] = []
        self.has_begun = asyncio.Event()

    async def put(self, staged: Staged) -> None:
        """Refuse, where another was taken before."""
        name = staged.candidate.descriptors.name
        if self.given and name != self.given[0]:
            raise EdgeError("Envoy refused the new transcoder")
        self.given.append(name)
        self.has_begun.set()


async def test_what_envoy_does_not_take_is_taken_back_everywhere(settings: Settings, flows: Flows) -> None:
    first, second = flows.bundle(gates=GATES), flows.bundle(gates=GATES, hello=HELLO)
    folder, edge = flows.project.bundles_dir, StubbornEdge()
    async with running(settings, first, folder, edge) as one, running(settings, first, folder) as other:
        async with asyncio.timeout(5):
            await edge.has_begun.wait()
        with pytest.raises(CallError, match="Envoy refused") as caught:
            await one.publish(pack(second))
        assert caught.value.info.reason == "BUNDLE_REFUSED"
        assert await one.listed() == [("gates", 1)]
        assert edge.given[-1] == edge.given[0]
        await other.serves(first.digest)
        with redis.Redis.from_url(settings.redis_url) as client:
            assert client.hget("pf:{bundles}:current", "digest").decode() == first.digest
