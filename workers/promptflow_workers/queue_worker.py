"""arq's worker over our queues.

arq keeps what it is good at: the table of functions, the context, the hooks and the signals. Claims, leases and
results are `Lane`'s, so nothing is pickled, polled for or lost with its process. A job's queue names its function.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from signal import Signals
from typing import Any, Protocol, cast

from arq.worker import Worker, func

from promptflow_workers.dispatch.clock import RedisClock
from promptflow_workers.dispatch.lane import Lane, LaneOptions
from promptflow_workers.dispatch.link import Link
from promptflow_workers.dispatch.queue import Job, Queue


class RunInContext(Protocol):
    """A function of the table: runs a job of its queue and answers the result."""

    async def __call__(self, ctx: dict[Any, Any], job: Job, /) -> bytes:
        """Called with the worker's context."""
        ...


class Hook(Protocol):
    """What arq calls before the first job or after the last."""

    async def __call__(self, ctx: dict[Any, Any]) -> None:
        """Called with the worker's context."""
        ...


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """`drain_s`: how long started jobs may go on after SIGTERM. `lane` holds for each queue by itself.

    Once `on_startup` has ended, `opens_after` is awaited for each queue, all at once; its lane opens when that returns.
    """

    lane: LaneOptions
    drain_s: float = 10.0
    handle_signals: bool = True
    on_startup: Hook | None = None
    on_shutdown: Hook | None = None
    opens_after: Callable[[str], Awaitable[None]] | None = None
    clock: RedisClock = field(default_factory=RedisClock)


class QueueWorker(Worker):  # type: ignore[misc]
    """Serves queues under one name until SIGTERM, SIGINT, `drain` or cancellation; `close` it afterwards.

    Until a queue is opened the worker keeps its lease there but claims nothing.
    """

    def __init__(self, link: Link, name: str, functions: Mapping[str, RunInContext], options: WorkerOptions) -> None:
        super().__init__(
            [func(cast("Any", function), name=queue) for queue, function in functions.items()],
            max_jobs=options.lane.slots,
            # Anything above 0 makes arq wait for running jobs, through `handle_sig_wait_for_completion`.
            job_completion_wait=max(1, round(options.drain_s)),
            handle_signals=options.handle_signals,
            on_startup=options.on_startup,
            on_shutdown=options.on_shutdown,
        )
        self._drain_s = options.drain_s
        self._opens_after = options.opens_after
        self._draining: asyncio.Task[None] | None = None
        self.lanes: Mapping[str, Lane] = {
            queue: Lane(Queue(link, queue), name, self._runner_of(queue), options.lane, clock=options.clock)
            for queue in functions
        }

    async def main(self) -> None:
        """Serve until drained. arq's own queue is not polled."""
        async with asyncio.TaskGroup() as group:
            serving = [group.create_task(lane.serve()) for lane in self.lanes.values()]
            starting = group.create_task(self._start())
            await asyncio.wait(serving)
            starting.cancel()

    async def drain(self) -> None:
        """Claim nothing more, give back what has not started, let the rest go on for a while; `main` then returns."""
        self.allow_pick_jobs = False
        await asyncio.gather(*(lane.drain(self._drain_s) for lane in self.lanes.values()))

    def handle_sig_wait_for_completion(self, signum: Signals) -> None:
        """Drain; a second signal stops at once."""
        if self._draining is None:
            self._draining = asyncio.get_running_loop().create_task(self.drain())
        else:
            self.handle_sig(signum)

    async def close(self) -> None:
        """Run the shutdown hook."""
        if self.on_shutdown is not None:
            await self.on_shutdown(self.ctx)

    async def _start(self) -> None:
        if self.on_startup is not None:
            await self.on_startup(self.ctx)
        async with asyncio.TaskGroup() as group:
            for queue in self.lanes:
                group.create_task(self._open(queue))

    async def _open(self, queue: str) -> None:
        if self._opens_after is not None:
            await self._opens_after(queue)
        self.lanes[queue].open()

    def _runner_of(self, queue: str) -> Callable[[Job], Awaitable[bytes]]:
        async def run(job: Job) -> bytes:
            result: bytes = await self.functions[queue].coroutine(self.ctx, job)
            return result

        return run
