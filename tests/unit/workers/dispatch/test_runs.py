"""Runs handed to servers: one owner at a time, each with a higher epoch."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

import pytest

from promptflow_workers.dispatch.interface import Claim, RunDispatch
from promptflow_workers.dispatch.link import Link
from promptflow_workers.dispatch.queue import Lease, Queue
from promptflow_workers.dispatch.runs import RedisRunDispatch

FAST = Lease(beat_ms=100, lease_ms=600, grace_ms=400)


class Server:
    """Drives runs until told to end them."""

    def __init__(self, link: Link, process: str, slots: int) -> None:
        self.dispatch = RedisRunDispatch(link, process, slots=slots, lease=FAST)
        self.claims: asyncio.Queue[Claim] = asyncio.Queue()
        self.ended: asyncio.Queue[Claim] = asyncio.Queue()
        self.may_end = asyncio.Event()
        self.fails_once = False
        self.serving = asyncio.create_task(self.dispatch.serve(self.handle))

    async def handle(self, claim: Claim) -> None:
        self.claims.put_nowait(claim)
        try:
            if self.fails_once:
                self.fails_once = False
                raise RuntimeError("the first time goes wrong")
            await self.may_end.wait()
        finally:
            self.ended.put_nowait(claim)

    async def claim(self) -> Claim:
        async with asyncio.timeout(5):
            return await self.claims.get()

    async def end(self) -> Claim:
        async with asyncio.timeout(5):
            return await self.ended.get()


StartServer = Callable[..., Server]


@pytest.fixture
async def start(link: Link) -> AsyncIterator[StartServer]:
    servers: list[Server] = []

    def start_server(process: str = "p1", slots: int = 4) -> Server:
        servers.append(Server(link, process, slots))
        return servers[-1]

    yield start_server
    for server in servers:
        server.serving.cancel()
        with suppress(asyncio.CancelledError):
            await server.serving


async def owned(link: Link) -> int:
    return len(await link.execute("KEYS", "pf:{flows}:c:*"))


def test_it_is_what_the_engine_asks_for(link: Link) -> None:
    dispatch: RunDispatch = RedisRunDispatch(link, "p1", slots=1)
    assert dispatch


async def test_a_run_is_handed_to_some_server_and_leaves_the_queue_at_its_end(link: Link, start: StartServer) -> None:
    server = start()
    await server.dispatch.put("x1", to_self=False)
    claim = await server.claim()
    assert claim.execution_id == "x1"
    server.may_end.set()
    await server.end()
    await server.dispatch.drain()
    assert await owned(link) == 0


async def test_a_run_for_oneself_is_not_taken_by_another(link: Link, start: StartServer) -> None:
    one = start("p1")
    await one.dispatch.put("warm-up", to_self=False)
    await one.claim()
    other = start("p2")
    async with asyncio.timeout(5):
        while (await Queue(link, "flows").depth()).workers < 2:
            pass
    for number in range(3):
        await one.dispatch.put(f"x{number}", to_self=True)
    assert {(await one.claim()).execution_id for _ in range(3)} == {"x0", "x1", "x2"}
    assert other.claims.empty()


async def test_a_run_for_oneself_waits_for_anyone_where_there_is_no_room(start: StartServer) -> None:
    full = start("p1", slots=1)
    await full.dispatch.put("x1", to_self=True)
    await full.claim()
    await full.dispatch.put("x2", to_self=True)
    other = start("p2")
    assert (await other.claim()).execution_id == "x2"


async def test_a_run_for_oneself_waits_where_nothing_is_served_yet(link: Link, start: StartServer) -> None:
    await RedisRunDispatch(link, "p0", slots=1).put("x1", to_self=True)
    assert (await start().claim()).execution_id == "x1"


@pytest.mark.parametrize("to_self", [True, False])
async def test_putting_a_run_that_is_owned_changes_nothing(link: Link, start: StartServer, to_self: bool) -> None:
    server = start()
    await server.dispatch.put("x1", to_self=False)
    await server.claim()
    await server.dispatch.put("x1", to_self=to_self)
    server.may_end.set()
    await server.end()
    await server.dispatch.drain()
    assert server.claims.empty()
    assert await owned(link) == 0


async def test_every_hand_off_has_a_higher_epoch(start: StartServer) -> None:
    server = start()
    server.may_end.set()
    epochs: list[int] = []
    for _ in range(3):
        await server.dispatch.put("x1", to_self=True)
        epochs.append((await server.claim()).epoch)
        await server.end()
        await server.dispatch.put("other", to_self=True)
        await server.claim()
    assert epochs == sorted(set(epochs))


async def test_a_run_whose_handler_raises_is_handed_out_again(start: StartServer) -> None:
    server = start()
    server.fails_once = True
    await server.dispatch.put("x1", to_self=False)
    first, second = await server.claim(), await server.claim()
    assert (second.execution_id, second.epoch > first.epoch) == ("x1", True)


async def test_a_draining_server_hands_its_runs_over_at_once(start: StartServer) -> None:
    leaving = start("p1")
    await leaving.dispatch.put("x1", to_self=True)
    first = await leaving.claim()
    staying = start("p2")
    await leaving.dispatch.drain()
    assert await leaving.end() == first
    await leaving.serving
    second = await staying.claim()
    assert (second.execution_id, second.epoch > first.epoch) == ("x1", True)
    await leaving.dispatch.put("x2", to_self=True)
    assert (await staying.claim()).execution_id == "x2"


async def test_a_server_that_lost_its_lease_stops_driving(link: Link, start: StartServer) -> None:
    server = start("p1")
    await server.dispatch.put("x1", to_self=True)
    first = await server.claim()
    await Queue(link, "flows").leave("p1", patience_s=1.0)
    assert await server.end() == first
    assert (await server.claim()).epoch > first.epoch


async def test_a_run_has_no_limit_of_losses(link: Link, start: StartServer) -> None:
    queue = Queue(link, "flows")
    await RedisRunDispatch(link, "p0", slots=1).put("x1", to_self=False)
    for _ in range(5):
        await queue.beat("dead", 1, FAST)
        assert len(await queue.claim("dead", 1) or []) == 1
        await link.execute("ZADD", "pf:{flows}:workers", 1, "dead")
        await link.execute("HDEL", "pf:{flows}:m", "quiet")
        await queue.beat("witness", 0, FAST)
    await queue.leave("witness", patience_s=1.0)
    assert (await start().claim()).execution_id == "x1"
