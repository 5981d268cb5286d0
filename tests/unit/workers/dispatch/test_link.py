"""Commands and pushes over a server that goes away, refuses and comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from promptflow_core.errors import FlowError, Reason
from promptflow_server.embedded_redis import EmbeddedRedis
from promptflow_workers.dispatch.functions import FunctionLibrary
from promptflow_workers.dispatch.link import Link

LIBRARY = FunctionLibrary.versioned(
    "tl1", "#!lua name=tl1\nredis.register_function('tl1_echo', function(keys, a) return {keys[1], a[1]} end)"
)


@pytest.fixture
def admin(flushed_redis_url: str) -> Iterator[Any]:
    """redis-py types replies as awaitable or not, hence Any."""
    with redis.Redis.from_url(flushed_redis_url) as client:
        yield client


class Listener:
    """Remembers what a channel said."""

    def __init__(self) -> None:
        self.messages: asyncio.Queue[bytes | None] = asyncio.Queue()

    def __call__(self, message: bytes | None) -> None:
        self.messages.put_nowait(message)

    async def next(self) -> bytes | None:
        async with asyncio.timeout(5):
            return await self.messages.get()


async def test_commands_of_one_turn_keep_their_order(link: Link) -> None:
    await asyncio.gather(*(link.execute("RPUSH", "list", number) for number in range(1000)))
    assert await link.execute("LRANGE", "list", 0, -1) == [str(number).encode() for number in range(1000)]


async def test_an_error_reply_fails_its_own_command_alone(link: Link) -> None:
    results = await asyncio.gather(
        link.execute("SET", "a", 1), link.execute("LPUSH", "a", 1), link.execute("GET", "a"), return_exceptions=True
    )
    assert (results[0], results[2]) == (b"OK", b"1")
    assert isinstance(results[1], redis.ResponseError)


@pytest.mark.parametrize("bad", ["scan-\udce9.png", None], ids=["surrogate", "none"])
async def test_an_argument_that_cannot_be_sent_fails_its_own_command_alone(link: Link, bad: Any) -> None:
    async with asyncio.timeout(3):
        results = await asyncio.gather(
            link.execute("SET", "a", 1), link.execute("SET", "b", bad), link.execute("GET", "a"), return_exceptions=True
        )
    assert (results[0], results[2]) == (b"OK", b"1")
    assert isinstance(results[1], FlowError)
    assert results[1].record.reason is Reason.INTERNAL
    assert "argument of 'SET'" in results[1].record.message


async def test_a_server_that_is_not_there_is_a_typed_error_in_bounded_time(tmp_path: Path) -> None:
    async with Link(f"unix://{tmp_path}/nothing.sock") as link, asyncio.timeout(2):
        with pytest.raises(FlowError) as caught:
            await link.execute("PING", patience_s=0.1)
    assert caught.value.record.reason is Reason.STORE_UNAVAILABLE


async def test_a_wrong_password_is_named(redis_url: str) -> None:
    async with Link(redis_url.replace("unix://:", "unix://:wrong")) as link:
        with pytest.raises(FlowError, match="password"):
            await link.execute("PING", patience_s=0.2)


async def test_a_command_waits_for_a_server_that_comes_later(tmp_path: Path) -> None:
    embedded = EmbeddedRedis(tmp_path)
    url = embedded.start()
    embedded.close()
    async with Link(url) as link:
        waiting = asyncio.create_task(link.execute("PING"))
        try:
            await asyncio.to_thread(embedded.start)
            assert await waiting == b"PONG"
        finally:
            await asyncio.to_thread(embedded.close)


async def test_commands_go_on_after_the_connection_was_cut(link: Link, admin: Any) -> None:
    await link.execute("SET", "a", 1)
    admin.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    assert await link.execute("GET", "a") == b"1"


async def test_a_server_out_of_memory_is_waited_for(link: Link, admin: Any) -> None:
    admin.config_set("maxmemory", 1)
    try:
        waiting = asyncio.create_task(link.execute("SET", "a", 1))
        assert await link.execute("GET", "a") is None
        assert not waiting.done()
    finally:
        admin.config_set("maxmemory", 0)
    assert await waiting == b"OK"


async def test_a_server_that_stays_out_of_memory_is_a_typed_error(link: Link, admin: Any) -> None:
    admin.config_set("maxmemory", 1)
    try:
        with pytest.raises(FlowError, match="memory"):
            await link.execute("SET", "a", 1, patience_s=0.1)
    finally:
        admin.config_set("maxmemory", 0)


async def test_functions_are_loaded_where_they_are_absent_and_again_after_a_loss(link: Link, admin: Any) -> None:
    for _ in range(2):
        admin.function_flush()
        assert await link.fcall(LIBRARY, "echo", ["k"], ["v"]) == [b"k", b"v"]


async def test_two_processes_load_functions_at_once(redis_url: str, admin: Any) -> None:
    admin.function_flush()
    async with Link(redis_url) as one, Link(redis_url) as other:
        replies = await asyncio.gather(*(link.fcall(LIBRARY, "echo", ["k"], ["v"]) for link in (one, other)))
    assert replies == [[b"k", b"v"]] * 2


def test_every_edit_of_a_library_renames_its_functions() -> None:
    edited = FunctionLibrary.versioned("tl1", LIBRARY.code + "\n")
    assert edited.qualified("echo") != LIBRARY.qualified("echo")
    assert f"'{LIBRARY.qualified('echo')}'" in LIBRARY.code
    assert f"name={LIBRARY.name}\n" in LIBRARY.code


async def test_a_listener_hears_first_that_it_stands_and_then_every_message(link: Link) -> None:
    one, other = Listener(), Listener()
    link.subscribe("c{x}", one)
    assert await one.next() is None
    link.subscribe("c{x}", other)
    assert await other.next() is None
    assert await one.next() is None
    await link.execute("SPUBLISH", "c{x}", "hello")
    assert (await one.next(), await other.next()) == (b"hello", b"hello")


async def test_a_listener_that_fails_deafens_nobody(link: Link) -> None:
    def fail(message: bytes | None) -> None:
        raise ValueError(message)

    other = Listener()
    link.subscribe("c{x}", fail)
    link.subscribe("c{x}", other)
    assert await other.next() is None
    for message in (b"one", b"two"):
        await link.execute("SPUBLISH", "c{x}", message)
    heard: list[bytes | None] = []
    while b"two" not in heard:
        heard.append(await other.next())
    assert b"one" in heard


async def test_a_listener_hears_of_a_gap(link: Link, admin: Any) -> None:
    listener = Listener()
    link.subscribe("c{x}", listener)
    assert await listener.next() is None
    admin.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
    assert await listener.next() is None
    await link.execute("SPUBLISH", "c{x}", "hello")
    assert await listener.next() == b"hello"


async def test_who_has_left_hears_nothing(link: Link) -> None:
    gone, other = Listener(), Listener()
    leave = link.subscribe("gone{x}", gone)
    assert await gone.next() is None
    leave()
    link.subscribe("other{x}", other)
    assert await other.next() is None
    assert await link.execute("SPUBLISH", "gone{x}", "hello") == 0
    assert gone.messages.empty()


async def test_closing_answers_those_who_wait(tmp_path: Path) -> None:
    link = Link(f"unix://{tmp_path}/nothing.sock")
    waiting = asyncio.create_task(link.execute("PING"))
    await asyncio.sleep(0)
    await link.close()
    with pytest.raises(FlowError, match="closed"):
        await waiting
    with pytest.raises(FlowError, match="closed"):
        await link.execute("PING")
