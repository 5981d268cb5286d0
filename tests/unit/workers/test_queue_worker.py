"""What we take from arq, so that a new version of it cannot change it unseen."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

import arq.worker
import pytest

from promptflow_workers.dispatch.lane import LaneOptions
from promptflow_workers.dispatch.link import Link
from promptflow_workers.dispatch.queue import Job, Lease, Queue
from promptflow_workers.queue_worker import QueueWorker, WorkerOptions

LANE = LaneOptions(slots=2, lease=Lease(beat_ms=100, lease_ms=600, grace_ms=400))


async def run_upper(ctx: dict[Any, Any], job: Job) -> bytes:
    ctx["ran"].append(job.id)
    return job.body.upper()


async def finished(worker: QueueWorker, running: asyncio.Task[None]) -> None:
    async with asyncio.timeout(5):
        await running
    await worker.close()


async def test_a_worker_is_arqs_with_its_table_context_hooks_and_no_poll(link: Link) -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def on_startup(ctx: dict[Any, Any]) -> None:
        ctx["ran"] = []
        began.set()

    async def on_shutdown(ctx: dict[Any, Any]) -> None:
        ended.set()

    options = WorkerOptions(LANE, handle_signals=False, on_startup=on_startup, on_shutdown=on_shutdown)
    worker = QueueWorker(link, "w1", {"q": run_upper}, options)
    assert isinstance(worker, arq.worker.Worker)
    assert list(worker.functions) == ["q"]
    running = asyncio.create_task(worker.async_run())
    queue, answered = Queue(link, "q"), asyncio.Event()
    queue.listen_as_owner("p1", lambda message: answered.set() if message is not None else None)
    async with asyncio.timeout(5):
        await began.wait()
        await queue.put("p1", [("x/1", 0, b"body")])
        await answered.wait()
    assert [fields for _, fields in await queue.replies("p1", "0-0")] == [[b"r", b"BODY"]]
    assert worker.ctx["ran"] == ["x/1"]
    await worker.drain()
    assert not worker.allow_pick_jobs
    await finished(worker, running)
    assert ended.is_set()
    assert await link.execute("KEYS", "arq:*") == []


async def test_nothing_is_claimed_before_the_startup_hook_has_ended(link: Link) -> None:
    may_start, ran = asyncio.Event(), asyncio.Event()

    async def on_startup(ctx: dict[Any, Any]) -> None:
        await may_start.wait()

    async def run(ctx: dict[Any, Any], job: Job) -> bytes:
        assert may_start.is_set()
        ran.set()
        return b""

    queue = Queue(link, "q")
    await queue.put("p1", [("x/1", 0, b"body")])
    worker = QueueWorker(link, "w1", {"q": run}, WorkerOptions(LANE, handle_signals=False, on_startup=on_startup))
    running = asyncio.create_task(worker.async_run())
    async with asyncio.timeout(5):
        while not await link.execute("ZCARD", "pf:{q}:workers"):
            pass
        depth = await queue.depth()
        assert (depth.workers, depth.waiting) == (0, 1)
        may_start.set()
        await ran.wait()
    await worker.drain()
    await finished(worker, running)


async def test_a_queue_opens_as_soon_as_it_may_whatever_the_others_wait_for(link: Link) -> None:
    may_open, ran = {"q": asyncio.Event(), "slow": asyncio.Event()}, asyncio.Queue[str]()

    async def opens_after(queue: str) -> None:
        await may_open[queue].wait()

    async def run(ctx: dict[Any, Any], job: Job) -> bytes:
        ran.put_nowait(job.id)
        return b""

    for queue in may_open:
        await Queue(link, queue).put("p1", [(f"x/{queue}", 0, b"body")])
    options = WorkerOptions(LANE, handle_signals=False, opens_after=opens_after)
    worker = QueueWorker(link, "w1", dict.fromkeys(may_open, run), options)
    running = asyncio.create_task(worker.async_run())
    async with asyncio.timeout(5):
        may_open["q"].set()
        assert await ran.get() == "x/q"
        slow = await Queue(link, "slow").depth()
        assert (slow.workers, slow.waiting) == (0, 1)
        may_open["slow"].set()
        assert await ran.get() == "x/slow"
    await worker.drain()
    await finished(worker, running)


async def test_a_startup_hook_that_hangs_does_not_hinder_a_drain(link: Link) -> None:
    began = asyncio.Event()

    async def on_startup(ctx: dict[Any, Any]) -> None:
        began.set()
        await asyncio.Event().wait()

    worker = QueueWorker(link, "w1", {"q": run_upper}, WorkerOptions(LANE, handle_signals=False, on_startup=on_startup))
    running = asyncio.create_task(worker.async_run())
    await began.wait()
    await worker.drain()
    await finished(worker, running)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_drains(link: Link, number: signal.Signals) -> None:
    began = asyncio.Event()

    async def on_startup(ctx: dict[Any, Any]) -> None:
        began.set()

    worker = QueueWorker(link, "w1", {"q": run_upper}, WorkerOptions(LANE, on_startup=on_startup))
    running = asyncio.create_task(worker.async_run())
    await began.wait()
    signal.raise_signal(number)
    await finished(worker, running)
    assert (await Queue(link, "q").depth()).workers == 0
