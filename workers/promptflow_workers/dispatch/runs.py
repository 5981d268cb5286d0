"""The queue `flows`: which server process drives which run."""

from __future__ import annotations

from typing import Any

from promptflow_core.keys import FLOWS_QUEUE
from promptflow_workers.dispatch.interface import Claim, RunHandler
from promptflow_workers.dispatch.lane import LaneOptions
from promptflow_workers.dispatch.link import Link
from promptflow_workers.dispatch.queue import Job, Lease, Queue
from promptflow_workers.queue_worker import QueueWorker, WorkerOptions


class RedisRunDispatch:
    """`RunDispatch` over Redis. `process` names this server process and is never used by another, nor again.

    `slots` runs at once are driven here; more wait for any server. A hand-off's token is the epoch.
    """

    def __init__(self, link: Link, process: str, *, slots: int, lease: Lease | None = None) -> None:
        self._link = link
        self._process = process
        self._queue = Queue(link, FLOWS_QUEUE)
        self._options = WorkerOptions(
            LaneOptions(slots=slots, lease=lease or Lease(), stops_without_lease=True),
            drain_s=0.0,
            handle_signals=False,
        )
        self._worker: QueueWorker | None = None

    async def put(self, execution_id: str, *, to_self: bool) -> None:
        """See `RunDispatch.put`."""
        lane = self._worker.lanes[FLOWS_QUEUE] if self._worker is not None else None
        to = self._process if to_self and lane is not None and lane.is_open else ""
        for job_id, token in await self._queue.put("", [(execution_id, 0, b"")], worker=to):
            if lane is not None:
                lane.adopt([Job(job_id, token, b"")])

    async def serve(self, handler: RunHandler) -> None:
        """See `RunDispatch.serve`. Returns after `drain`."""

        async def run(_: dict[Any, Any], job: Job) -> bytes:
            job.is_started = True
            await handler(Claim(job.id, job.token))
            return b""

        self._worker = QueueWorker(self._link, self._process, {FLOWS_QUEUE: run}, self._options)
        try:
            await self._worker.main()
        finally:
            await self._worker.close()
            self._worker = None

    async def drain(self, grace_s: float = 0.0) -> None:
        """See `RunDispatch.drain`; the owned ones may end within `grace_s` before they are given back."""
        worker = self._worker
        if worker is not None:
            await worker.lanes[FLOWS_QUEUE].drain(grace_s)
