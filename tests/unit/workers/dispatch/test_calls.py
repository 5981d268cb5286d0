"""Calls from a server process to a pool and back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import msgspec
import pytest

from promptflow_core.records import Call, CallProgress, CallResult, call_id
from promptflow_workers.dispatch.calls import RedisCallDispatch
from promptflow_workers.dispatch.interface import CallDispatch
from promptflow_workers.dispatch.lane import Lane
from promptflow_workers.dispatch.link import Link
from promptflow_workers.dispatch.queue import Job, Lease, Queue

StartLane = Callable[..., Lane]


def call(number: int, epoch: int = 0) -> Call:
    return Call(call_id("x", "step", number, 1), "noop", "x", "step", number, 1, b"config", epoch=epoch)


class Server:
    """A server process: dispatch and what it was answered."""

    def __init__(self, link: Link, process: str) -> None:
        self.dispatch = RedisCallDispatch(link, process)
        self.answers: asyncio.Queue[CallResult | CallProgress] = asyncio.Queue()
        self.reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for answer in self.dispatch.replies():
            self.answers.put_nowait(answer)

    async def answer(self) -> CallResult | CallProgress:
        async with asyncio.timeout(5):
            return await self.answers.get()


@pytest.fixture
async def servers(link: Link) -> AsyncIterator[tuple[Server, Server]]:
    both = Server(link, "p1"), Server(link, "p2")
    yield both
    for server in both:
        server.dispatch.close()
        server.reading.cancel()
        await asyncio.wait([server.reading])


class Echo:
    """Answers each call with its config; counts runs."""

    def __init__(self) -> None:
        self.runs: list[str] = []

    async def __call__(self, job: Job) -> bytes:
        self.runs.append(job.id)
        decoded = msgspec.msgpack.decode(job.body, type=Call)
        return msgspec.msgpack.encode(CallResult(job.id, output=decoded.config, worker="w1"))


def result(number: int) -> CallResult:
    return CallResult(call(number).id, output=b"config", worker="w1")


def test_it_is_what_the_engine_asks_for(link: Link) -> None:
    dispatch: CallDispatch = RedisCallDispatch(link, "p1")
    assert dispatch


async def test_a_call_comes_back_with_its_result(servers: tuple[Server, Server], start_lane: StartLane) -> None:
    start_lane(Echo())
    await servers[0].dispatch.put("q", [call(1)])
    assert await servers[0].answer() == result(1)


async def test_calls_of_one_turn_are_all_answered_to_their_own_process(
    servers: tuple[Server, Server], start_lane: StartLane
) -> None:
    start_lane(Echo(), slots=64)
    async with asyncio.TaskGroup() as group:
        for number in range(400):
            group.create_task(servers[number % 2].dispatch.put("q", [call(number)]))
    for parity, server in enumerate(servers):
        answers = [await server.answer() for _ in range(200)]
        assert {answer.call_id for answer in answers} == {call(number).id for number in range(parity, 400, 2)}


async def test_a_call_that_is_put_twice_runs_once(
    servers: tuple[Server, Server], link: Link, start_lane: StartLane
) -> None:
    echo, dispatch = Echo(), servers[0].dispatch
    await dispatch.put("q", [call(1), call(1)])
    await dispatch.put("q", [call(1)])
    start_lane(echo)
    assert await servers[0].answer() == result(1)
    await dispatch.put("q", [call(2)])
    assert await servers[0].answer() == result(2)
    assert echo.runs == [call(1).id, call(2).id]


async def test_a_finished_call_that_is_put_again_answers_again_without_a_run(
    servers: tuple[Server, Server], start_lane: StartLane
) -> None:
    echo = Echo()
    start_lane(echo)
    await servers[0].dispatch.put("q", [call(1)])
    assert await servers[0].answer() == result(1)
    await servers[1].dispatch.put("q", [call(1)])
    assert await servers[1].answer() == result(1)
    assert echo.runs == [call(1).id]


async def test_the_answer_follows_the_latest_epoch(servers: tuple[Server, Server], start_lane: StartLane) -> None:
    old, new = servers
    await old.dispatch.put("q", [call(1, epoch=1), call(2, epoch=1)])
    await new.dispatch.put("q", [call(1, epoch=2)])
    await old.dispatch.put("q", [call(1, epoch=1)])
    start_lane(Echo())
    assert await new.answer() == result(1)
    assert await old.answer() == result(2)
    assert old.answers.empty()


async def test_an_acknowledged_call_is_forgotten(
    servers: tuple[Server, Server], link: Link, start_lane: StartLane
) -> None:
    start_lane(Echo())
    await servers[0].dispatch.put("q", [call(1), call(2)])
    assert {(await servers[0].answer()).call_id for _ in range(2)} == {call(1).id, call(2).id}
    await servers[0].dispatch.ack("q", [call(1).id])
    await servers[1].dispatch.ack("q", [call(2).id])
    assert await link.execute("KEYS", "pf:{q}:c:*") == []


async def test_a_cancelled_call_is_never_answered(servers: tuple[Server, Server], start_lane: StartLane) -> None:
    started, dispatch, echo = asyncio.Event(), servers[0].dispatch, Echo()

    async def run(job: Job) -> bytes:
        if job.id == call(1).id:
            started.set()
            await asyncio.Event().wait()
        return await echo(job)

    start_lane(run, slots=1)
    await dispatch.put("q", [call(1), call(2), call(3)])
    async with asyncio.timeout(5):
        await started.wait()
    await dispatch.cancel("q", [call(1).id, call(2).id, "never put"])
    assert await servers[0].answer() == result(3)
    assert (await dispatch.depth("q")).waiting == 0
    assert servers[0].answers.empty()


async def test_progress_reaches_the_owner_before_the_result(
    servers: tuple[Server, Server], link: Link, start_lane: StartLane
) -> None:
    async def run(job: Job) -> bytes:
        progress = msgspec.msgpack.encode(CallProgress(job.id, 50.0, "half"))
        await Queue(link, "q").progress(job, progress, patience_s=1.0)
        await Queue(link, "q").progress(replace(job, token=job.token - 1), progress, patience_s=1.0)
        return await Echo()(job)

    start_lane(run)
    await servers[0].dispatch.put("q", [call(1)])
    assert await servers[0].answer() == CallProgress(call(1).id, 50.0, "half")
    assert await servers[0].answer() == result(1)


async def test_an_answer_that_cannot_be_read_hides_no_other(
    servers: tuple[Server, Server], start_lane: StartLane
) -> None:
    async def run(job: Job) -> bytes:
        return b"\xc1" if job.id == call(1).id else await Echo()(job)

    start_lane(run, slots=1)
    await servers[0].dispatch.put("q", [call(1), call(2)])
    assert await servers[0].answer() == result(2)


async def test_an_error_reply_does_not_end_the_reading(
    servers: tuple[Server, Server], link: Link, start_lane: StartLane
) -> None:
    await link.execute("CONFIG RESETSTAT")
    await link.execute("SET", "pf:{q}:R:p1", "no stream")
    await servers[0].dispatch.put("q", [call(1)])
    async with asyncio.timeout(5):
        while b"errorstat_WRONGTYPE" not in await link.execute("INFO", "errorstats"):
            pass
    await link.execute("DEL", "pf:{q}:R:p1")
    start_lane(Echo())
    assert await servers[0].answer() == result(1)


async def test_a_pool_with_many_answers_starves_no_other(link: Link) -> None:
    dispatch, answers = RedisCallDispatch(link, "p1"), list[str]()
    for name, numbers in (("busy", range(12)), ("q", range(12, 13))):
        queue = Queue(link, name)
        await dispatch.put(name, [call(number) for number in numbers])
        await queue.beat("w1", len(numbers), Lease())
        for job in await queue.claim("w1", len(numbers)) or []:
            large = CallResult(job.id, output=bytes(1 << 20))
            await queue.done("w1", 0, [(job, msgspec.msgpack.encode(large))])
    async with asyncio.timeout(5):
        async for answer in dispatch.replies():
            answers.append(answer.call_id)
            if len(answers) == 13:
                break
    dispatch.close()
    assert sorted(answers) == sorted(call(number).id for number in range(13))
    assert answers.index(call(12).id) < 6


async def test_answers_survive_the_loss_of_every_connection(
    servers: tuple[Server, Server], link: Link, start_lane: StartLane
) -> None:
    start_lane(Echo())
    await servers[0].dispatch.put("q", [call(1)])
    assert await servers[0].answer() == result(1)
    await asyncio.gather(
        link.execute("CLIENT KILL TYPE pubsub"),
        servers[0].dispatch.put("q", [call(number) for number in range(2, 50)]),
    )
    expected = {call(number).id for number in range(2, 50)}
    found: set[str] = set()
    while found != expected:
        found |= {(await servers[0].answer()).call_id} & expected
