"""One call for what is asked in one turn of the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from promptflow_workers.dispatch.clock import RedisClock
from promptflow_workers.dispatch.turns import TurnBatch


async def test_what_is_added_in_one_turn_is_sent_as_one() -> None:
    sent: list[list[int]] = []

    async def send(items: Sequence[int]) -> None:
        sent.append(list(items))

    batch = TurnBatch(send)
    await asyncio.gather(batch.add([1]), batch.add([2, 3]), batch.add([]))
    await batch.add([4])
    assert sent == [[1, 2, 3], [4]]


async def test_an_error_reaches_everyone_and_a_caller_that_goes_away_stops_nothing() -> None:
    may_go = asyncio.Event()

    async def send(items: Sequence[int]) -> None:
        await may_go.wait()
        raise ValueError(sum(items))

    batch = TurnBatch(send)
    tasks = [asyncio.create_task(batch.add([number])) for number in (1, 2, 4)]
    await asyncio.wait(tasks, timeout=0)
    tasks[0].cancel()
    await asyncio.wait(tasks[:1])
    may_go.set()
    for task in tasks[1:]:
        with pytest.raises(ValueError, match="7"):
            await task


def test_redis_time_goes_on_with_the_monotonic_clock() -> None:
    now = 100.0
    clock = RedisClock(monotonic=lambda: now, wall=lambda: 5000.0)
    assert clock.now_ms() == 5_000_000
    now = 100.2
    clock.observe(7_000_000, sent_at=100.0)
    now = 101.1
    assert clock.now_ms() == 7_001_000
