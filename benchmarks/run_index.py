"""What the index of runs costs per start, and what a page of it costs: `python -m benchmarks.run_index`.

A start is the writes of `FlowEngine._start`: create, then index of open runs and acceptance, with and without the index
of all runs, in turns, so many at once; each figure is the median over the rounds. Redis is the embedded one.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from pathlib import Path
from uuid import uuid4

from promptflow_core.records import EventKind, EventRecord, ExecutionRecord, ExecutionStatus
from promptflow_server.embedded_redis import EmbeddedRedis
from promptflow_server.store.run_index import RunFilter
from promptflow_server.store.state import StateManager
from promptflow_workers.dispatch.link import Link

ROUNDS, STARTS, AT_ONCE = 9, 2_000, 32


def new_run(number: int) -> ExecutionRecord:
    """A run of one of ten flows."""
    return ExecutionRecord(
        str(uuid4()),
        f"flow_{number % 10}",
        1,
        "digest",
        ExecutionStatus.QUEUED,
        1,
        {"text": "x" * 100},
        created_at_ms=time.time_ns() // 1_000_000,
    )


async def start(state: StateManager, number: int, *, indexed: bool) -> None:
    """The writes of one start."""
    run = new_run(number)
    await state.create(run, EventRecord(run.execution_id, 1, run.created_at_ms, EventKind.ACCEPTED))
    writes = [state.list_open(run.execution_id, run.created_at_ms), state.accept(run.execution_id)]
    await asyncio.gather(*writes, *([state.index.add(run)] if indexed else []))


async def starts_us(state: StateManager, *, indexed: bool) -> float:
    """Microseconds per start, `AT_ONCE` under way."""
    began = time.perf_counter()
    numbers = iter(range(STARTS))

    async def starter() -> None:
        for number in numbers:
            await start(state, number, indexed=indexed)

    await asyncio.gather(*(starter() for _ in range(AT_ONCE)))
    return (time.perf_counter() - began) / STARTS * 1e6


async def page_ms(state: StateManager, wanted: RunFilter) -> float:
    """The median time of a page of fifty."""

    async def once() -> float:
        began = time.perf_counter()
        await state.index.page(wanted, size=50)
        return (time.perf_counter() - began) * 1e3

    return statistics.median([await once() for _ in range(9)])


async def compare(url: str) -> None:
    """Measure and print."""
    async with Link(url) as link:
        state = StateManager(link)
        plain: list[float] = []
        indexed: list[float] = []
        for _ in range(ROUNDS):
            plain.append(await starts_us(state, indexed=False))
            indexed.append(await starts_us(state, indexed=True))
        without, with_index = statistics.median(plain), statistics.median(indexed)
        print(f"start: {without:.0f} us without, {with_index:.0f} us with the index: x{with_index / without:.2f}")
        names: list[tuple[str, RunFilter]] = [
            ("every run", RunFilter()),
            ("one flow", RunFilter("flow_3")),
            ("a status that no run has", RunFilter(statuses=frozenset({ExecutionStatus.FAILED}))),
        ]
        for name, wanted in names:
            print(f"page of {name}: {await page_ms(state, wanted):.1f} ms, of {ROUNDS * STARTS} runs")
        began = time.perf_counter()
        await state.index.sweep()
        print(f"sweep that finds nothing: {(time.perf_counter() - began) * 1e3:.1f} ms")


def main() -> None:
    """Measure on a Redis of its own."""
    with tempfile.TemporaryDirectory() as folder:
        redis = EmbeddedRedis(Path(folder))
        try:
            asyncio.run(compare(redis.start()))
        finally:
            redis.close()


if __name__ == "__main__":
    main()
