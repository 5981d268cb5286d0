"""A worker's side of a queue: it claims, keeps its lease, reports, and gives back what it does not run."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from promptflow_server.embedded_redis import EmbeddedRedis
from promptflow_workers.dispatch.clock import RedisClock
from promptflow_workers.dispatch.interface import QueueDepth
from promptflow_workers.dispatch.lane import Lane, LaneOptions
from promptflow_workers.dispatch.link import Link
from promptflow_workers.dispatch.queue import Job, Lease, Queue

StartLane = Callable[..., Lane]

PATIENT = Lease(beat_ms=60_000, lease_ms=120_000, grace_ms=60_000)


class Runner:
    """Runs jobs until it is told to end them."""

    def __init__(self, *, marks_started: bool = True) -> None:
        self.started: asyncio.Queue[Job] = asyncio.Queue()
        self.stopped: asyncio.Queue[Job] = asyncio.Queue()
        self.may_end = asyncio.Event()
        self.marks_started = marks_started
        self.now = self.most = 0

    async def __call__(self, job: Job) -> bytes:
        self.now += 1
        self.most = max(self.most, self.now)
        job.is_started = self.marks_started
        self.started.put_nowait(job)
        try:
            await self.may_end.wait()
        except asyncio.CancelledError:
            self.stopped.put_nowait(job)
            raise
        finally:
            self.now -= 1
        return f"result of {job.id}".encode()


async def next_of(queue: asyncio.Queue[Job]) -> Job:
    async with asyncio.timeout(5):
        return await queue.get()


async def put(queue: Queue, *call_ids: str) -> None:
    await queue.put("p1", [(call_id, 0, b"body") for call_id in call_ids])


async def results(queue: Queue, count: int) -> list[bytes]:
    """The first `count` results that p1 is told."""
    news = asyncio.Event()
    stop = queue.listen_as_owner("p1", lambda _: news.set())
    found: list[bytes] = []
    async with asyncio.timeout(8):
        while len(found) < count:
            await news.wait()
            news.clear()
            found = [field for _, fields in await queue.replies("p1", "0-0") for field in fields[1::2]]
    stop()
    return found


async def test_a_call_is_run_and_reported_without_waiting_for_a_beat(link: Link, start_lane: StartLane) -> None:
    runner, queue = Runner(), Queue(link, "q")
    runner.may_end.set()
    start_lane(runner, lease=PATIENT)
    for number in range(20):
        await put(queue, f"x/{number}")
        await next_of(runner.started)
    assert len(await results(queue, 20)) == 20


async def test_no_more_run_at_once_than_there_are_slots(link: Link, start_lane: StartLane) -> None:
    runner, queue = Runner(), Queue(link, "q")
    await put(queue, *(f"x/{number}" for number in range(30)))
    start_lane(runner, slots=3)
    for _ in range(3):
        await next_of(runner.started)
    assert (await queue.depth()).waiting == 27
    runner.may_end.set()
    await results(queue, 30)
    assert runner.most == 3


async def test_waiting_calls_are_claimed_when_others_end(link: Link, start_lane: StartLane) -> None:
    runner, queue = Runner(), Queue(link, "q")
    start_lane(runner, slots=1, lease=PATIENT)
    await put(queue, "x/1", "x/2", "x/3")
    runner.may_end.set()
    assert [(await next_of(runner.started)).id for _ in range(3)] == ["x/1", "x/2", "x/3"]


async def test_a_hand_off_whose_answer_got_lost_is_found_at_the_next_beat(link: Link, start_lane: StartLane) -> None:
    runner, queue = Runner(), Queue(link, "q")
    lane = start_lane(runner)
    await queue.beat("w1", 4, Lease())
    [(call_id, token)] = await queue.put("p1", [("x/1", 0, b"body")], worker="w1")
    job = await next_of(runner.started)
    assert (job.id, job.token, job.body) == (call_id, token, b"body")
    lane.adopt([Job(call_id, token, b"body")])
    runner.may_end.set()
    assert len(await results(queue, 1)) == 1
    assert runner.started.empty()


async def test_a_job_that_raises_runs_again_under_a_new_token(link: Link, start_lane: StartLane) -> None:
    tokens: asyncio.Queue[int] = asyncio.Queue()

    async def run(job: Job) -> bytes:
        tokens.put_nowait(job.token)
        if tokens.qsize() == 1:
            raise RuntimeError("the first time goes wrong")
        return b"result"

    queue = Queue(link, "q")
    start_lane(run)
    await put(queue, "x/1")
    assert await results(queue, 1) == [b"result"]
    assert tokens.get_nowait() < tokens.get_nowait()


async def test_draining_gives_back_what_has_not_started_and_reports_the_rest(link: Link, start_lane: StartLane) -> None:
    queue, busy = Queue(link, "q"), Runner()
    waiting = Runner(marks_started=False)

    async def run(job: Job) -> bytes:
        return await (busy if job.id == "x/busy" else waiting)(job)

    lane = start_lane(run)
    await put(queue, "x/busy", "x/waiting")
    await next_of(busy.started)
    await next_of(waiting.started)
    draining = asyncio.create_task(lane.drain(5.0))
    await next_of(waiting.stopped)
    other = Runner()
    start_lane(other, name="w2")
    assert (await next_of(other.started)).id == "x/waiting"
    assert not draining.done()
    busy.may_end.set()
    await draining
    assert await results(queue, 1) == [b"result of x/busy"]
    assert (await queue.depth()).workers == 1


async def test_draining_stops_and_gives_back_what_does_not_end(link: Link, start_lane: StartLane) -> None:
    queue, runner = Queue(link, "q"), Runner()
    lane = start_lane(runner)
    await put(queue, "x/1")
    await next_of(runner.started)
    await lane.drain(0.05)
    assert (await next_of(runner.stopped)).id == "x/1"
    depth = await queue.depth()
    assert (depth.workers, depth.waiting) == (0, 1)


async def test_a_cancelled_lane_gives_everything_back_at_once(link: Link) -> None:
    queue, runner = Queue(link, "q"), Runner()
    lane = Lane(queue, "w1", runner, LaneOptions(4, PATIENT), clock=RedisClock())
    serving = asyncio.create_task(lane.serve())
    lane.open()
    await put(queue, "x/1", "x/2")
    await next_of(runner.started)
    await next_of(runner.started)
    serving.cancel()
    with suppress(asyncio.CancelledError):
        await serving
    depth = await queue.depth()
    assert (depth.workers, depth.waiting) == (0, 2)


async def test_a_cancelled_call_stops_at_once_and_frees_its_slot(link: Link, start_lane: StartLane) -> None:
    queue, runner = Queue(link, "q"), Runner()
    start_lane(runner, slots=1, lease=PATIENT)
    await put(queue, "x/1", "x/2")
    await next_of(runner.started)
    await queue.cancel(["x/1"])
    assert (await next_of(runner.stopped)).id == "x/1"
    assert (await next_of(runner.started)).id == "x/2"
    runner.may_end.set()
    assert await results(queue, 1) == [b"result of x/2"]


async def test_a_cancelled_waiting_call_never_runs(link: Link, start_lane: StartLane) -> None:
    queue, runner = Queue(link, "q"), Runner()
    await put(queue, "x/1", "x/2")
    await queue.cancel(["x/1"])
    assert (await queue.depth()).waiting == 1
    start_lane(runner)
    assert (await next_of(runner.started)).id == "x/2"
    assert runner.started.empty()


async def test_a_worker_that_was_given_up_stops_its_jobs_and_goes_on(link: Link, start_lane: StartLane) -> None:
    queue, runner = Queue(link, "q"), Runner()
    start_lane(runner)
    await put(queue, "x/1")
    job = await next_of(runner.started)
    await queue.leave("w1", patience_s=1.0)
    assert (await next_of(runner.stopped)).token == job.token
    again = await next_of(runner.started)
    assert (again.id, again.token > job.token) == ("x/1", True)
    runner.may_end.set()
    assert await results(queue, 1) == [b"result of x/1"]


async def test_a_server_that_was_emptied_is_served_again(link: Link, start_lane: StartLane) -> None:
    queue, runner = Queue(link, "q"), Runner()
    runner.may_end.set()
    start_lane(runner)
    await put(queue, "x/1")
    await results(queue, 1)
    await link.execute("FLUSHALL")
    await link.execute("FUNCTION FLUSH")
    await put(queue, "x/2")
    assert await results(queue, 1) == [b"result of x/2"]


async def test_a_lost_push_connection_delays_but_loses_nothing(link: Link, start_lane: StartLane) -> None:
    queue, runner = Queue(link, "q"), Runner()
    runner.may_end.set()
    start_lane(runner, lease=PATIENT)
    await put(queue, "x/1")
    await next_of(runner.started)
    await asyncio.gather(link.execute("CLIENT KILL TYPE pubsub"), put(queue, "x/2"))
    assert (await next_of(runner.started)).id == "x/2"


async def test_depth_counts_what_lies_with_dead_workers(link: Link) -> None:
    queue = Queue(link, "q")
    await queue.beat("w1", 4, Lease())
    await put(queue, "x/1", "x/2")
    await queue.claim("w1", 1)
    assert await queue.depth() == QueueDepth(workers=1, waiting=1, oldest_ms=(await queue.depth()).oldest_ms)
    await link.execute("ZADD", "pf:{q}:workers", 1, "w1")
    depth = await queue.depth()
    assert (depth.workers, depth.waiting) == (0, 2)


class Outage:
    """A server of its own that can be stopped and continued, or killed; its guard starts it again."""

    def __init__(self, directory: Path) -> None:
        self.embedded = EmbeddedRedis(directory)
        self.url = self.embedded.start()

    async def signal(self, link: Link, number: signal.Signals) -> int:
        info = (await link.execute("INFO", "server")).decode()
        pid = int(info.split("process_id:")[1].split("\r\n")[0])
        os.kill(pid, number)
        return pid


async def test_runs_stop_when_the_lease_may_be_lost_and_come_back_under_a_higher_epoch(
    tmp_path: Path, start_lane: StartLane
) -> None:
    outage = Outage(tmp_path)
    async with Link(outage.url) as over:
        queue, runner = Queue(over, "q"), Runner()
        lane = start_lane(runner, over=over, stops_without_lease=True)
        await put(queue, "x/1")
        job = await next_of(runner.started)
        pid = await outage.signal(over, signal.SIGSTOP)
        try:
            await next_of(runner.stopped)
        finally:
            os.kill(pid, signal.SIGCONT)
        again = await next_of(runner.started)
        assert (again.id, again.token > job.token) == ("x/1", True)
        await lane.drain(0.0)
    outage.embedded.close()


async def test_calls_run_through_a_crash_of_the_server_and_none_is_lost(tmp_path: Path, start_lane: StartLane) -> None:
    outage = Outage(tmp_path)
    async with Link(outage.url) as over:
        queue, runner = Queue(over, "q"), Runner()
        lane = start_lane(runner, over=over, slots=50)
        ids = [f"x/{number}" for number in range(50)]
        await put(queue, *ids)
        started = [await next_of(runner.started) for _ in ids]
        await outage.signal(over, signal.SIGKILL)
        runner.may_end.set()
        assert sorted(await results(queue, 50)) == sorted(f"result of {job.id}".encode() for job in started)
        assert runner.stopped.empty()
        await lane.drain(0.0)
    outage.embedded.close()
