"""Calls that wait, and results for which nobody waits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from uuid import uuid4

from tests.unit.server.engine.executors import Gate, Gated
from tests.unit.server.engine.plans import flow, step
from tests.unit.server.engine.processes import EngineProcess, worker_process

from promptflow_core import keys
from promptflow_core.records import Call, CallProgress, CallResult, EventKind, EventRecord, ExecutionRecord
from promptflow_core.records import ExecutionStatus as Status
from promptflow_core.values import encode_value
from promptflow_server.engine.pools import PUT_AGAIN_S, PoolCalls
from promptflow_workers.dispatch.interface import QueueDepth


def call(execution_id: str, name: str, executor: str = "pool_gated") -> Call:
    return Call(
        id=f"{execution_id}/{name}/-/1",
        executor=executor,
        execution_id=execution_id,
        step=name,
        item=None,
        attempt=1,
        config=encode_value({"value": "gate"}),
        deadline_at_ms=0,
        epoch=1,
    )


class Slow:
    """A dispatch in which, while a call is put again, the other call is answered."""

    def __init__(self) -> None:
        self.puts: list[str] = []
        self.pools: PoolCalls | None = None
        self.rounds = asyncio.Semaphore(0)

    async def put(self, queue: str, calls: Sequence[Call]) -> None:
        self.puts += [one.id for one in calls]
        if len(self.puts) > 2:
            assert self.pools is not None
            other = {"p": "q", "q": "p"}[queue]
            self.pools.ack(other, f"x/{other}/-/1")

    async def replies(self) -> AsyncIterator[CallResult | CallProgress]:
        await asyncio.Event().wait()
        yield CallProgress("", 0.0)

    async def ack(self, queue: str, call_ids: Sequence[str]) -> None:
        pass

    async def cancel(self, queue: str, call_ids: Sequence[str]) -> None:
        pass

    async def depth(self, queue: str) -> QueueDepth:
        self.rounds.release()
        return QueueDepth(1, 0, 0)


async def test_a_call_that_ends_while_others_are_put_again_is_not_put_again() -> None:
    now = [0.0]
    dispatch = Slow()

    async def is_waited_for(_: str) -> bool:
        return True

    pools = PoolCalls(dispatch, is_waited_for=is_waited_for, no_workers_after_s=0.02, monotonic=lambda: now[0])
    dispatch.pools = pools
    for queue in ("p", "q"):
        await pools.put(queue, [call("x", queue)], lambda _: None)
    now[0] = PUT_AGAIN_S
    serving = asyncio.create_task(pools.run())
    for _ in range(4):
        await asyncio.wait_for(dispatch.rounds.acquire(), 5)
    serving.cancel()
    assert sorted(dispatch.puts[:2]) == ["x/p/-/1", "x/q/-/1"]
    assert len(dispatch.puts) == 3, dispatch.puts


async def _gone(engine: EngineProcess, call_id: str) -> None:
    async with asyncio.timeout(5):
        while await _is_kept(engine, call_id):
            pass


async def _is_kept(engine: EngineProcess, call_id: str) -> bool:
    return bool(await engine.link.execute("EXISTS", f"{keys.queue('gates')}c:{call_id}"))


async def test_results_that_nobody_can_want_are_acknowledged_and_others_are_left(
    engine: EngineProcess, gate: Gate, redis_url: str, tmp_path: Path
) -> None:
    gate.opened.set()
    async with worker_process(redis_url, tmp_path, "gates"):
        over = (await engine.run(flow(step("a", "gate", executor="pool_gated", queue="gates"))))[0].execution_id
        others = await _run_of_another(engine)
        for kept in (call(others, "a"), call(over, "a")):
            await _gone(engine, kept.id)
            await engine.calls.put("gates", [kept])
        await _gone(engine, call(over, "a").id)
        assert await _is_kept(engine, call(others, "a").id), "its owner may ask for it"


async def _run_of_another(engine: EngineProcess) -> str:
    execution_id = uuid4().hex
    record = ExecutionRecord(execution_id, "f", 1, "d", Status.QUEUED, 1, {})
    await engine.state.create(record, EventRecord(execution_id, 1, 1, EventKind.ACCEPTED))
    await engine.state.open(execution_id, 1, "another")
    return execution_id


async def test_a_result_that_comes_again_to_a_run_that_goes_on_is_acknowledged(
    engine: EngineProcess, gate: Gate, redis_url: str, tmp_path: Path
) -> None:
    plan = flow(
        step("far", "gate", executor="pool_gated", queue="gates"),
        step("held", "{{ 'held' if steps.far else '' }}", executor="gated"),
    )
    held = Gated.gates["held"] = Gate()
    gate.opened.set()
    async with worker_process(redis_url, tmp_path, "gates"):
        execution_id = await engine.start(plan)
        await asyncio.wait_for(held.came.acquire(), 5)
        again = call(execution_id, "far")
        await _gone(engine, again.id)
        await engine.calls.put("gates", [again])
        await _gone(engine, again.id)
        assert len(gate.calls) == 2
        held.opened.set()
        assert (await engine.end(execution_id)).status is Status.COMPLETED
