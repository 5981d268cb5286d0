"""Workers inside the test's own loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

import pytest

from promptflow_workers.dispatch.clock import RedisClock
from promptflow_workers.dispatch.lane import Lane, LaneOptions, RunJob
from promptflow_workers.dispatch.link import Link
from promptflow_workers.dispatch.queue import Lease, Queue

FAST = Lease(beat_ms=100, lease_ms=600, grace_ms=400)

StartLane = Callable[..., Lane]


@pytest.fixture
async def start_lane(link: Link) -> AsyncIterator[StartLane]:
    """Starts a lane of queue `q`; all are stopped at the end of the test."""
    serving: list[asyncio.Task[None]] = []

    def start(
        run: RunJob,
        *,
        name: str = "w1",
        slots: int = 4,
        lease: Lease = FAST,
        over: Link | None = None,
        stops_without_lease: bool = False,
    ) -> Lane:
        options = LaneOptions(slots, lease, stops_without_lease)
        lane = Lane(Queue(over or link, "q"), name, run, options, clock=RedisClock())
        serving.append(asyncio.create_task(lane.serve(), name=name))
        lane.open()
        return lane

    yield start
    for task in serving:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
