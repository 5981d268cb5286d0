"""Bundles while things go wrong: Redis that lost them, is away or slow; servers that start or leave in the middle."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest
import redis
from tests.contract.bundles import GATES, HELLO, Flows, running, starting
from tests.contract.serving import CallError
from tests.contract.test_app import NOT_SERVING, SERVING, SYNC

from promptflow_codegen.bundle import Bundle
from promptflow_codegen.pack import pack
from promptflow_core import keys
from promptflow_core.settings import Settings
from promptflow_server.app import ServerApp
from promptflow_server.bundles.archive import KEPT, Archive
from promptflow_server.embedded_redis import EmbeddedRedis
from promptflow_server.gateway.edge import Edge, Staged
from promptflow_server.store.bundles import BundleStore
from promptflow_workers.dispatch.link import Link

UNREADABLE = b"promptflow-bundle 99 9.9.9\n"


@pytest.fixture
def client(settings: Settings) -> redis.Redis:
    return redis.Redis.from_url(settings.redis_url)


class SlowEdge(Edge):
    """An Envoy that takes its time over some descriptors, the first it is given or those it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.may_go = asyncio.Event()
        self.is_asked = asyncio.Event()
        self.slow: bytes | None = None
        self.given: list[str] = []

    async def stage(self, descriptors: bytes) -> Staged:
        """Wait first, where these are the slow ones."""
        if self.slow in (None, descriptors):
            self.slow = descriptors
            self.is_asked.set()
            await self.may_go.wait()
        return await super().stage(descriptors)

    async def put(self, staged: Staged) -> None:
        """Note what was given."""
        self.given.append(staged.candidate.descriptors.name)


async def test_publishing_what_redis_lost_mends_every_server(
    settings: Settings, flows: Flows, client: redis.Redis
) -> None:
    first, second = flows.bundle(gates=GATES), flows.bundle(gates=GATES, hello=HELLO)
    folder = flows.project.bundles_dir
    async with running(settings, first, folder) as one, running(settings, first, folder) as other:
        client.hset(keys.bundle_current(), "digest", second.digest)
        for server in (one, other):
            assert await server.app.bundles.follower.catch_up() is False, "there is nothing to serve"
        answer = await one.publish(pack(second))
        assert (answer.bundle_digest, answer.previous_digest) == (second.digest, first.digest)
        assert await one.listed() == [("gates", 1), ("hello", 1)]
        await other.serves(second.digest)


async def test_publishing_what_is_served_stores_it_again(settings: Settings, flows: Flows, client: redis.Redis) -> None:
    bundle = flows.bundle(hello=HELLO)
    async with running(settings, bundle, flows.project.bundles_dir) as server:
        for _ in range(2):
            client.delete(keys.bundle(bundle.digest))
            await server.publish(pack(bundle))
            assert client.exists(keys.bundle(bundle.digest))


async def test_a_bundle_that_nobody_here_can_read_is_not_replaced_and_one_that_is_lost_is(
    settings: Settings, flows: Flows, client: redis.Redis
) -> None:
    first, second = flows.bundle(gates=GATES), flows.bundle(gates=GATES, hello=HELLO)
    newer = "0123456789abcdef"
    client.set(keys.bundle(newer), UNREADABLE)
    client.hset(keys.bundle_current(), "digest", newer)
    async with running(settings, first, flows.project.bundles_dir) as server:
        for offer in (first, second):
            with pytest.raises(CallError, match="cannot serve it") as caught:
                await server.publish(pack(offer))
            assert caught.value.info.reason == "BUNDLE_CONFLICT"
        published: Any = client.hget(keys.bundle_current(), "digest")
        assert published == newer.encode()
        client.delete(keys.bundle(newer))
        assert (await server.publish(pack(second))).bundle_digest == second.digest


async def test_a_server_takes_calls_only_once_redis_has_its_bundle(
    settings: Settings, flows: Flows, client: redis.Redis
) -> None:
    bundle = flows.bundle(hello=HELLO)
    # Redis does all but store bundles.
    client.acl_setuser("default", enabled=True, reset_keys=True, keys=["%R~*", "%W~pf:{flows}*", "%W~pf:{runs}*"])
    try:
        async with starting(settings, bundle, flows.project.bundles_dir) as server:
            looked = asyncio.create_task(server.app.bundles.follower.ready())
            await server.app.bundles.follower.catch_up()
            await server.app.redis.ping()
            assert not looked.done()
            assert await server.health() == NOT_SERVING
            client.acl_setuser("default", enabled=True, keys=["*"])
            await server.until(SERVING)
            assert client.exists(keys.bundle(bundle.digest))
    finally:
        client.acl_setuser("default", enabled=True, keys=["*"])


async def test_a_bundle_that_redis_lost_while_it_is_served_comes_back(
    settings: Settings, flows: Flows, client: redis.Redis
) -> None:
    bundle = flows.bundle(hello=HELLO)
    async with running(settings, bundle, flows.project.bundles_dir):
        client.flushall()
        async with asyncio.timeout(5):
            while not client.exists(keys.bundle(bundle.digest)):  # noqa: ASYNC110  # the server stores it by itself
                await asyncio.sleep(0.02)


async def test_what_envoy_is_given_last_is_what_was_published_last(settings: Settings, flows: Flows) -> None:
    first, second = flows.bundle(gates=GATES), flows.bundle(gates=GATES, hello=HELLO)
    edge = SlowEdge()
    async with running(settings, first, flows.project.bundles_dir, edge) as server:
        await edge.is_asked.wait()
        publishing = asyncio.create_task(server.publish(pack(second)))
        # As long as the first is not put, the second cannot be.
        await asyncio.wait([publishing], timeout=0.5)
        edge.may_go.set()
        await publishing
        staged = await edge.stage(second.descriptors)
        assert edge.given[-1] == staged.candidate.descriptors.name


async def test_a_publish_that_is_in_hand_when_the_server_leaves_is_given_up_with_it(
    settings: Settings, flows: Flows, client: redis.Redis
) -> None:
    first, second = flows.bundle(gates=GATES), flows.bundle(gates=GATES, hello=HELLO)
    edge = SlowEdge()
    edge.slow = second.descriptors
    async with running(settings, first, flows.project.bundles_dir, edge, grace_s=0.2) as server:
        publishing = asyncio.create_task(server.publish(pack(second)))
        await edge.is_asked.wait()
    # Its caller has gone by now.
    await asyncio.wait([publishing])
    coroutines: list[Any] = [task.get_coro() for task in asyncio.all_tasks()]
    assert not [each for each in coroutines if "promptflow_server" in each.cr_code.co_filename]
    assert client.hget(keys.bundle_current(), "digest") is None


async def test_what_is_only_checked_or_refused_leaves_nothing_at_the_edge(
    settings: Settings, flows: Flows, tmp_path: Path
) -> None:
    first, second = flows.bundle(gates=GATES, hello=HELLO), flows.bundle(gates=GATES)
    # Envoy would serve it, we would not: a plan has no service.
    spoilt = Bundle.of(second.descriptors, first.plans)
    folder = tmp_path / "edge"
    async with running(settings, first, flows.project.bundles_dir, Edge(folder)) as server:
        await server.publish(pack(first))
        before = sorted(folder.iterdir())
        assert before
        await server.publish(pack(second), validate_only=True)
        with pytest.raises(CallError, match="is damaged"):
            await server.publish(pack(spoilt))
        assert sorted(folder.iterdir()) == before


async def test_redis_that_refuses_a_command_ends_no_server(
    settings: Settings, flows: Flows, client: redis.Redis
) -> None:
    first, second = flows.bundle(gates=GATES), flows.bundle(gates=GATES, hello=HELLO)
    async with running(settings, first, flows.project.bundles_dir) as server:
        client.set(keys.bundle_current(), "no hash")
        with pytest.raises(CallError, match="Redis refuses") as caught:
            await server.publish(pack(second))
        assert caught.value.code is grpc.StatusCode.UNAVAILABLE
        client.delete(keys.bundle_current())
        await server.publish(pack(second))
        new = server.knowing(second)
        assert (await new.execute("hello", text="you", execution_mode=SYNC)).result.said == "hello you"


async def test_while_redis_is_away_an_unknown_method_may_be_known_later(
    settings: Settings, flows: Flows, tmp_path: Path
) -> None:
    first, second = flows.bundle(gates=GATES), flows.bundle(gates=GATES, hello=HELLO)
    embedded = EmbeddedRedis(tmp_path / "redis")
    alone = settings.model_copy(update={"redis_url": embedded.start()})
    async with running(alone, first, flows.project.bundles_dir, grace_s=0.2) as server:
        embedded.close()
        with pytest.raises(CallError) as caught:
            await server.knowing(second).execute("hello", text="x")
        assert (caught.value.code, caught.value.info.reason) == (grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE")


async def test_what_is_served_is_at_hand_though_many_older_bundles_are_read(
    settings: Settings, flows: Flows, tmp_path: Path
) -> None:
    bundles = [flows.bundle(hello=f"{HELLO}description: number {number}\n") for number in range(KEPT + 2)]
    async with Link(settings.redis_url) as link:
        store = BundleStore(link, keep_s=60)
        archive = Archive(tmp_path / "none", store)
        archive.put(ServerApp.of(settings, bundles[0], tmp_path / "none", link).bundles.live.current)
        for old in bundles[1:]:
            await store.keep(old.digest, pack(old))
            assert (await archive.contract(old.digest, "hello", 1)).plan.description == old.plans[0].description
        assert (await archive.plan(bundles[0].digest, "hello", 1)).description == "number 0"
