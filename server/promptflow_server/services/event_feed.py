"""Events of a run as a caller follows them: with signs of life while nothing happens, and `done` with the whole run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import TypeVar

from promptflow_core.records import EventKind, EventRecord, ExecutionRecord
from promptflow_server.engine.interface import Engine

HEARTBEAT_S = 15.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Occurrence:
    """An event and the run that it is shown with."""

    event: EventRecord
    run: ExecutionRecord


async def follow(
    engine: Engine, run: ExecutionRecord, after_sequence: int, *, heartbeat_s: float, now_ms: Callable[[], int]
) -> AsyncGenerator[Occurrence, None]:
    """What `Engine.watch` tells of a run, a heartbeat after each `heartbeat_s` of silence, `done` last.

    Raises:
        FlowError: as `Engine.watch`.
    """
    progress = run.progress
    async with aclosing(_with_silences(engine.watch(run.execution_id, after_sequence), heartbeat_s)) as events:
        async for event in events:
            if event is None:
                beat = EventRecord(run.execution_id, 0, now_ms(), EventKind.HEARTBEAT, progress)
                yield Occurrence(beat, run)
            elif event.kind is EventKind.DONE:
                yield Occurrence(event, await engine.read(run.execution_id))
                return
            else:
                progress = event.progress
                yield Occurrence(event, run)


async def _with_silences(source: AsyncIterator[T], silence_s: float) -> AsyncGenerator[T | None, None]:
    # A timeout around `anext` would cancel the source; a task that outlives the timeout does not.
    pending: asyncio.Task[T] | None = None
    try:
        while True:
            if pending is None:
                pending = asyncio.create_task(_next(source))
            done, _ = await asyncio.wait({pending}, timeout=silence_s)
            if not done:
                yield None
                continue
            finished, pending = pending, None
            try:
                item = finished.result()
            except StopAsyncIteration:
                return
            yield item
    finally:
        if pending is not None:
            pending.cancel()
            await asyncio.wait({pending})
        if isinstance(source, AsyncGenerator):
            await source.aclose()


async def _next(source: AsyncIterator[T]) -> T:
    return await anext(source)
