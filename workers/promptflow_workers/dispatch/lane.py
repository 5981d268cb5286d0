"""A worker's side of one queue: the lease, what it claimed, what it still has to report."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

import structlog

from promptflow_core.errors import FlowError
from promptflow_workers.dispatch.clock import RedisClock, Seconds
from promptflow_workers.dispatch.queue import Beat, Job, Lease, Queue, pages

RETURN_PAUSE_S = 0.2
STOP_S, FAREWELL_S = 5.0, 2.0
SMALL_BYTES = 1 << 20
STOPPING_SHARE = 0.125
"""The last part of a lease, kept for stopping what runs before another worker may have it."""

RunJob = Callable[[Job], Awaitable[bytes]]
"""Runs a job and answers its result; a job that raises is given back."""

_log = structlog.get_logger(__name__)


@dataclass(eq=False, slots=True)
class _Running:
    job: Job
    task: asyncio.Task[bytes]
    since: float
    is_given_back: bool = False


@dataclass(frozen=True, slots=True)
class LaneOptions:
    """`slots` jobs run at once. `stops_without_lease`: jobs must not go on when this process may have been given up."""

    slots: int
    lease: Lease = field(default_factory=Lease)
    stops_without_lease: bool = False


class Lane:
    """Claims jobs of one queue for one worker name, runs them and reports them, until drained or cancelled.

    The name is used once: a process that starts again takes another. Redis may be away at any time; jobs run on,
    results are kept until they are recorded, and what Redis says in answer to a beat settles what is whose.
    """

    def __init__(
        self,
        queue: Queue,
        worker: str,
        run: RunJob,
        options: LaneOptions,
        *,
        clock: RedisClock,
        monotonic: Seconds = time.monotonic,
    ) -> None:
        self._queue = queue
        self._worker = worker
        self._run = run
        self._options = options
        self._clock = clock
        self._monotonic = monotonic
        self._running: dict[int, _Running] = {}
        self._unreported: dict[int, tuple[Job, bytes]] = {}
        self._unwanted: dict[int, Job] = {}
        self._asked = 0
        self._lease_ends = 0.0
        self._is_open = False
        self._has_work, self._has_reports, self._beat_is_due, self._is_leased, self._is_ending = (
            asyncio.Event() for _ in range(5)
        )
        self._ended = asyncio.Event()
        self._drain_s = 0.0

    @property
    def is_open(self) -> bool:
        """Whether it takes jobs."""
        return self._is_open and self._is_leased.is_set()

    def open(self) -> None:
        """Begin to claim."""
        self._is_open = not self._is_ending.is_set()
        self._beat_is_due.set()

    def adopt(self, jobs: Iterable[Job]) -> None:
        """Start jobs that were handed to this worker, unless they are known already or this lane is closing."""
        self._start(jobs)

    async def serve(self) -> None:
        """Keep the lease and, once open, run jobs. Whatever ends it, what is left is given back at once."""
        stop_listening = self._queue.listen_as_worker(self._worker, self._on_push)
        try:
            async with asyncio.TaskGroup() as group:
                loops = [
                    group.create_task(loop())
                    for loop in (self._keep_lease, self._watch_lease, self._claim_jobs, self._report_jobs)
                ]
                await self._is_ending.wait()
                await self._wind_down()
                for task in loops:
                    task.cancel()
        finally:
            self._is_open = False
            stop_listening()
            await self._leave()
            self._ended.set()

    async def drain(self, grace_s: float) -> None:
        """Take no more, give back at once what has not started, let the rest run for `grace_s`; returns at the end."""
        self._drain_s = grace_s
        self._is_open = False
        self._is_ending.set()
        await self._ended.wait()

    def _on_push(self, message: bytes | None) -> None:
        if message is None:
            self._beat_is_due.set()
        elif message.startswith(b"x"):
            self._stop(int(message[1:]), is_given_back=False)
        else:
            self._has_work.set()

    async def _keep_lease(self) -> None:
        lease = self._options.lease
        while True:
            self._beat_is_due.clear()
            sent_at = self._monotonic()
            try:
                beat = await self._queue.beat(self._worker, self._options.slots if self._is_open else 0, lease)
            except FlowError as error:
                _log.warning("beat_failed", queue=self._queue.name, worker=self._worker, error=str(error))
            else:
                self._lease_ends = sent_at + lease.lease_ms / 1000
                self._is_leased.set()
                self._clock.observe(beat.now_ms, sent_at)
                with suppress(FlowError):
                    await self._reconcile(beat, sent_at)
                self._has_work.set()
                self._has_reports.set()
            with suppress(TimeoutError):
                async with asyncio.timeout(lease.beat_ms / 1000):
                    await self._beat_is_due.wait()

    async def _watch_lease(self) -> None:
        margin_s = STOPPING_SHARE * self._options.lease.lease_ms / 1000
        while True:
            await self._is_leased.wait()
            remaining_s = self._lease_ends - margin_s - self._monotonic()
            if remaining_s > 0:
                await asyncio.sleep(remaining_s)
                continue
            self._is_leased.clear()
            if self._options.stops_without_lease:
                # They come back under a new token, if this worker was not given up.
                self._stop_all()

    async def _reconcile(self, beat: Beat, sent_at: float) -> None:
        """Stop what is no longer this worker's; run what an answer that got lost had handed to it."""
        for token, running in tuple(self._running.items()):
            if token not in beat.jobs and running.since < sent_at:
                self._stop(token, is_given_back=False)
        unknown: Mapping[int, str] = {
            token: job_id
            for token, job_id in beat.jobs.items()
            if token not in self._running and token not in self._unreported and token not in self._unwanted
        }
        if unknown:
            self._start(await self._queue.fetch(self._worker, unknown))

    async def _claim_jobs(self) -> None:
        while True:
            await self._has_work.wait()
            self._has_work.clear()
            with suppress(FlowError):  # the next beat comes back to it
                while await self._claim_once():
                    pass

    async def _claim_once(self) -> bool:
        """Whether there may be more to claim."""
        room = self._room()
        if room == 0:
            return False
        self._asked += room
        try:
            jobs = await self._queue.claim(self._worker, room)
        finally:
            self._asked -= room
        if jobs is None:
            self._beat_is_due.set()
            return False
        self._start(jobs)
        # Redis cuts large answers off.
        return len(jobs) < room and sum(len(job.body) for job in jobs) > SMALL_BYTES

    def _room(self) -> int:
        return max(0, self._options.slots - len(self._running) - self._asked) if self.is_open else 0

    def _start(self, jobs: Iterable[Job]) -> None:
        for job in jobs:
            if not self._is_open:
                self._unwanted[job.token] = job
                self._has_reports.set()
            elif job.token not in self._running and job.token not in self._unreported:
                task = asyncio.ensure_future(self._run(job))
                running = self._running[job.token] = _Running(job, task, self._monotonic())
                task.add_done_callback(partial(self._on_end, running))

    def _on_end(self, running: _Running, task: asyncio.Task[bytes]) -> None:
        job = running.job
        if task.cancelled():
            self._drop(job, is_given_back=running.is_given_back)
        elif (error := task.exception()) is not None:
            _log.error("job_failed", queue=self._queue.name, job=job.id, exc_info=error)
            # Whatever is wrong, it should not go round at full speed; meanwhile it keeps its slot.
            asyncio.get_running_loop().call_later(RETURN_PAUSE_S, partial(self._drop, job, is_given_back=True))
        else:
            self._running.pop(job.token, None)
            self._unreported[job.token] = (job, task.result())
            self._has_reports.set()

    def _drop(self, job: Job, *, is_given_back: bool) -> None:
        self._running.pop(job.token, None)
        if is_given_back:
            self._unwanted[job.token] = job
            self._has_reports.set()
        # Nothing will be reported that claims in the same step.
        self._has_work.set()

    def _stop(self, token: int, *, is_given_back: bool) -> None:
        running = self._running.get(token)
        if running is not None:
            running.is_given_back = is_given_back
            running.task.cancel()

    def _stop_all(self) -> None:
        for token in tuple(self._running):
            self._stop(token, is_given_back=True)

    async def _report_jobs(self) -> None:
        while True:
            await self._has_reports.wait()
            await asyncio.sleep(0)  # what else ends in this turn goes with it
            self._has_reports.clear()
            with suppress(FlowError):  # the next beat comes back to it
                await self._report_results()
                await self._report_unwanted()

    async def _report_results(self, *, patience_s: float | None = None) -> None:
        for page in pages(tuple(self._unreported.values()), _result_bytes):
            room = self._room()
            self._asked += room
            try:
                jobs = await self._queue.done(self._worker, room, page, patience_s=patience_s)
            finally:
                self._asked -= room
            for job, _ in page:
                self._unreported.pop(job.token, None)
            if jobs is None:
                self._beat_is_due.set()
            else:
                self._start(jobs)

    async def _report_unwanted(self) -> None:
        unwanted: Sequence[Job] = tuple(self._unwanted.values())
        if unwanted:
            await self._queue.back(unwanted)
        for job in unwanted:
            self._unwanted.pop(job.token, None)

    async def _wind_down(self) -> None:
        self._beat_is_due.set()  # so that nobody is sent here
        for token, running in tuple(self._running.items()):
            if not running.job.is_started:
                self._stop(token, is_given_back=True)
        if self._running and self._drain_s > 0:
            await asyncio.wait([running.task for running in self._running.values()], timeout=self._drain_s)

    async def _leave(self) -> None:
        self._stop_all()
        tasks = [running.task for running in self._running.values()]
        if tasks:
            await asyncio.wait(tasks, timeout=STOP_S)
            await asyncio.sleep(0)  # for the callbacks
        try:
            await self._report_results(patience_s=FAREWELL_S)
            await self._queue.leave(self._worker, patience_s=FAREWELL_S)
        except FlowError as error:
            # Then its lease runs out.
            _log.warning("leave_failed", queue=self._queue.name, worker=self._worker, error=str(error))


def _result_bytes(result: tuple[Job, bytes]) -> int:
    return len(result[1])
