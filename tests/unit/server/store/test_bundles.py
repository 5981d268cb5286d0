"""Which bundle is served, by one order for all; and which are kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable

import pytest

from promptflow_core import keys
from promptflow_core.errors import FlowError
from promptflow_server.store.bundles import SLACK_S, BundleStore
from promptflow_workers.dispatch.link import Link

KEEP_S = 60.0
ONE, TWO, THREE = (character * 16 for character in "123")


class Clock:
    """Seconds, as the test sets them."""

    def __init__(self) -> None:
        self.now = 1_900_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def link(own_redis_url: str) -> AsyncIterator[Link]:
    async with Link(own_redis_url) as link:
        await link.execute("FLUSHALL")
        yield link


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(link: Link, clock: Clock) -> BundleStore:
    return BundleStore(link, keep_s=KEEP_S, now=clock)


async def test_a_publish_names_what_was_before_and_the_second_of_two_is_refused(store: BundleStore) -> None:
    assert await store.current() is None
    assert await store.publish(ONE, b"one", before=None) is None
    assert await store.publish(TWO, b"two", before=ONE) == ONE
    with pytest.raises(FlowError, match=f"`{TWO}` was published in between") as caught:
        await store.publish(THREE, b"three", before=ONE)
    assert caught.value.record.reason == "BUNDLE_CONFLICT"
    assert (await store.current(), await store.get(TWO), await store.get(THREE)) == (TWO, b"two", None)
    assert await store.install(THREE, b"three") == TWO


async def test_a_publish_that_is_sent_twice_is_one(store: BundleStore) -> None:
    await store.publish(ONE, b"one", before=None)
    # The reply to the first was lost; what was expected before it is no longer so.
    assert await store.publish(ONE, b"one", before=None) == ONE


async def test_a_publish_is_announced(store: BundleStore) -> None:
    heard: asyncio.Queue[bytes | None] = asyncio.Queue()
    stop = store.announced(heard.put_nowait)
    assert await asyncio.wait_for(heard.get(), 5) is None
    await store.publish(ONE, b"one", before=None)
    assert await asyncio.wait_for(heard.get(), 5) == ONE.encode()
    stop()


async def test_bundles_stay_while_they_are_served_or_a_run_pins_them(
    link: Link, store: BundleStore, clock: Clock
) -> None:
    # What is published is stamped with Redis's own clock.
    clock.now = float((await link.execute("TIME"))[0])
    await store.publish(ONE, b"one", before=None)
    await store.publish(TWO, b"two", before=ONE)
    await store.keep(THREE, b"three")
    await link.execute("HSET", keys.execution_head("run"), "digest", ONE)
    await link.execute("ZADD", keys.open_runs(), 1, "run")

    clock.now += KEEP_S + SLACK_S + 10
    await store.sweep([])
    assert set(await store.stored()) == {ONE, TWO}, "one is pinned, the other current; nobody needs the third"
    assert await store.get(THREE) is None

    await link.execute("ZREM", keys.open_runs(), "run")
    clock.now += KEEP_S
    await store.sweep([])
    assert set(await store.stored()) == {ONE, TWO}, "a run that has ended is kept, and so is its bundle"

    clock.now += SLACK_S + 10
    await store.sweep([])
    assert (await store.stored(), await store.get(ONE)) == ([TWO], None)


async def one_by_one(store: BundleStore, digests: Iterable[str]) -> None:
    for digest in digests:
        await store.keep(digest, b"old")


async def test_what_is_needed_has_its_bytes_whatever_is_kept_and_swept_at_once(
    own_redis_url: str, link: Link, store: BundleStore, clock: Clock
) -> None:
    digests = [f"{number:016x}" for number in range(40)]
    async with Link(own_redis_url) as another:
        sweeper = BundleStore(another, keep_s=KEEP_S, now=clock)
        for _ in range(10):
            for digest in digests:
                await store.keep(digest, b"old")
            clock.now += KEEP_S + SLACK_S + 10
            await asyncio.gather(
                *([store.keep(digest, b"old") for digest in digests[:20]]),
                one_by_one(store, reversed(digests[20:])),
                *([sweeper.sweep([]) for _ in digests]),
            )
            assert {*await store.stored()} == {*digests}
            assert all([await store.has(digest) for digest in digests])


async def test_a_command_that_redis_refuses_is_an_error_that_callers_know(link: Link, store: BundleStore) -> None:
    await link.execute("SET", keys.bundle_current(), "no hash")
    for ask in (store.current(), store.publish(ONE, b"one", before=None), store.sweep([])):
        with pytest.raises(FlowError, match="Redis refuses") as caught:
            await ask
        assert caught.value.record.reason == "STORE_UNAVAILABLE"


async def test_publishing_what_is_published_stores_and_announces_it_again(link: Link, store: BundleStore) -> None:
    await store.publish(ONE, b"one", before=None)
    await link.execute("DEL", keys.bundle(ONE))
    heard: asyncio.Queue[bytes | None] = asyncio.Queue()
    stop = store.announced(heard.put_nowait)
    assert await asyncio.wait_for(heard.get(), 5) is None
    assert await store.publish(ONE, b"one", before=None) == ONE
    assert await asyncio.wait_for(heard.get(), 5) == ONE.encode()
    assert await store.get(ONE) == b"one"
    stop()
