"""Runs from start to end, on real dispatch and a real Valkey."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar
from uuid import uuid4

import pytest
import redis
from tests.unit.server.engine.executors import Gate
from tests.unit.server.engine.plans import flow, step
from tests.unit.server.engine.processes import EngineProcess, engine_process, worker_process

from promptflow_codegen.plan import FlowPlan
from promptflow_core import keys
from promptflow_core.errors import FlowError, Reason
from promptflow_core.records import Call, EventKind, EventRecord, ExecutionStatus, StepStatus
from promptflow_core.retry import RetryPolicy
from promptflow_core.types import SCALARS, FieldType, Kind, ObjectType
from promptflow_server.embedded_redis import EmbeddedRedis
from promptflow_server.engine.interface import StartOptions
from promptflow_server.engine.machine import MAX_OPENS
from promptflow_server.engine.runner import SWEEP_PAGE
from promptflow_server.store.state import StateManager
from promptflow_workers.dispatch.calls import RedisCallDispatch
from promptflow_workers.dispatch.link import Link

POOL: dict[str, Any] = {"executor": "pool_echo", "queue": "echoes"}
GATED: dict[str, Any] = {"executor": "gated"}
POOL_GATED: dict[str, Any] = {"executor": "pool_gated", "queue": "gates"}
SHORT = RetryPolicy(max_attempts=3, initial_ms=1, max_ms=5)


async def test_a_run_ends_with_a_result_and_dense_events(engine: EngineProcess) -> None:
    plan = flow(step("greet", "hi {{ inputs.text }}"), step("again", "{{ steps.greet.value }}!"))
    run, events = await engine.run(plan, text="you")
    assert run.status is ExecutionStatus.COMPLETED
    assert run.result == {"greet": {"value": "hi you"}, "again": {"value": "hi you!"}}
    assert [(event.sequence, event.kind) for event in events] == [
        (1, EventKind.ACCEPTED),
        (2, EventKind.STARTED),
        (3, EventKind.STEP_STARTED),
        (4, EventKind.STEP_COMPLETED),
        (5, EventKind.STEP_STARTED),
        (6, EventKind.STEP_COMPLETED),
        (7, EventKind.DONE),
    ]
    assert (run.sequence, run.server, run.progress.percentage) == (7, engine.server_id, 100.0)
    assert 0 < run.created_at_ms <= run.started_at_ms <= run.finished_at_ms


async def test_a_run_that_ended_is_in_no_index(engine: EngineProcess) -> None:
    await engine.run(flow(step("a", 1)))
    await _unlisted(engine)


async def _unlisted(engine: EngineProcess) -> None:
    async with asyncio.timeout(5):
        while await engine.state.open_runs(2**53, offset=0, limit=10):
            pass


async def test_steps_of_a_pool_run_in_a_worker(engine: EngineProcess, redis_url: str, tmp_path: Path) -> None:
    plan = flow(
        step("far", "{{ inputs.text }}", **POOL),
        step("each", "{{ index }}{{ item }}", for_each="{{ inputs.tags }}", max_parallel=2, **POOL),
        step("near", "{{ [steps.far.value, steps.each | length] }}"),
    )
    async with worker_process(redis_url, tmp_path, "echoes"):
        run, events = await engine.run(plan, text="x", tags=["a", "b", "c"])
    assert run.result == {
        "far": {"value": "x"},
        "each": [{"value": "0a"}, {"value": "1b"}, {"value": "2c"}],
        "near": {"value": ["x", 3]},
    }
    assert run.steps["far"].worker not in ("", engine.server_id)
    items = [(event.kind, round(event.percentage)) for event in events if event.step == "each"]
    assert items == [
        (EventKind.STEP_STARTED, 0),
        *((EventKind.STEP_PROGRESS, percentage) for percentage in (33, 67, 100)),
        (EventKind.STEP_COMPLETED, 0),
    ]
    assert await engine.link.execute("ZCARD", "pf:{echoes}:done") in (0, 1, 2), "results are acknowledged"


class Witness(RedisCallDispatch):
    """Looks up what is recorded of a step whenever a call of it is put or acknowledged."""

    seen: ClassVar[list[str]] = []

    async def put(self, queue: str, calls: Sequence[Call]) -> None:
        await self._note("put", [call.id for call in calls])
        await super().put(queue, calls)

    async def ack(self, queue: str, call_ids: Sequence[str]) -> None:
        await self._note("ack", call_ids)
        await super().ack(queue, call_ids)

    async def _note(self, what: str, call_ids: Sequence[str]) -> None:
        for call_id in call_ids:
            execution_id, name, *_ = call_id.split("/")
            recorded = (await StateManager(self._link).read(execution_id)).steps[name]
            self.seen.append(f"{what} {name}: {recorded.status} #{recorded.attempt}")


async def test_intent_is_recorded_before_a_call_is_put_and_its_result_before_it_is_acknowledged(
    flushed_redis_url: str, tmp_path: Path
) -> None:
    Witness.seen.clear()
    plan = flow(step("a", 1, **POOL), step("b", "{{ steps.a.value }}", **POOL))
    async with (
        worker_process(flushed_redis_url, tmp_path, "echoes"),
        engine_process(flushed_redis_url, tmp_path, dispatch=Witness) as engine,
    ):
        await engine.run(plan)
        await engine.engine.drain(0)
    assert sorted(Witness.seen) == [
        "ack a: COMPLETED #1",
        "ack b: COMPLETED #1",
        "put a: RUNNING #1",
        "put b: RUNNING #1",
    ]


@pytest.mark.parametrize(
    ("failing", "reason", "says"),
    [
        (step("a", config={"text": 3}, executor="strict"), Reason.CONFIG_INVALID, "`config.text`"),
        (step("a", config={"text": "x", "more": 1}, executor="strict"), Reason.CONFIG_INVALID, "`config.more`"),
        (step("a", 1, executor="refusing"), Reason.FILE_UNREADABLE, "not a picture"),
        (step("a", 1, executor="broken"), Reason.EXECUTOR_FAILED, "ZeroDivisionError: attempt 1 ?"),
        (step("a", 1, executor="nobody"), Reason.CONFIG_INVALID, "executor `nobody` is not installed"),
        (step("a", "{{ inputs.nope }}"), Reason.TEMPLATE_FAILED, "`inputs` has no `nope`"),
        (
            step("a", "text", output=ObjectType((FieldType("value", SCALARS[Kind.INTEGER], required=True),))),
            Reason.OUTPUT_INVALID,
            "value: 'text' is no integer",
        ),
    ],
)
async def test_what_goes_wrong_in_a_step_says_where_and_what(
    engine: EngineProcess, failing: Any, reason: Reason, says: str
) -> None:
    run, events = await engine.run(flow(failing))
    assert run.status is ExecutionStatus.FAILED
    assert run.error is not None
    assert (run.error.reason, says in run.error.message) == (reason, True), run.error.message
    assert run.error.metadata["step"] == "a"
    assert (run.error.metadata["source"], run.error.metadata["line"]) == ("flows/sample.yaml", "7")
    assert [event.kind for event in events][-2:] == [EventKind.STEP_FAILED, EventKind.DONE]
    assert run.steps["a"].error == run.error


async def test_a_failing_step_is_tried_as_often_as_it_may_be(engine: EngineProcess) -> None:
    run, events = await engine.run(flow(step("a", 1, executor="broken", retry=SHORT)))
    assert run.error is not None
    assert "attempt 3" in run.error.message
    assert [event.attempt for event in events if event.kind is EventKind.STEP_RETRYING] == [1, 2]


async def test_a_pool_without_workers_fails_the_step_and_says_how_to_start_one(
    flushed_redis_url: str, tmp_path: Path
) -> None:
    async with engine_process(flushed_redis_url, tmp_path, no_workers_after_s=0.3) as engine:
        run, _ = await engine.run(flow(step("a", 1, **POOL)))
        assert run.error is not None
        assert run.error.reason is Reason.NO_WORKERS
        assert "`promptflow worker --queue echoes`" in run.error.message
        async with asyncio.timeout(5):
            while (await engine.calls.depth("echoes")).waiting:
                pass


async def test_a_step_timeout_stops_the_call(engine: EngineProcess, gate: Gate) -> None:
    run, _ = await engine.run(flow(step("a", "gate", timeout_ms=50, **GATED)))
    assert run.error is not None
    assert run.error.reason is Reason.STEP_TIMEOUT
    assert gate.cancelled == gate.calls


async def test_a_run_ends_at_its_deadline(engine: EngineProcess, gate: Gate) -> None:
    run = await engine.end(await engine.start(flow(step("a", "gate", **GATED), timeout_ms=60_000), timeout_ms=50))
    assert run.error is not None
    assert (run.status, run.error.reason) == (ExecutionStatus.FAILED, Reason.EXECUTION_TIMEOUT)
    assert run.steps["a"].status is StepStatus.CANCELLED


async def test_the_same_id_is_the_same_run_and_other_inputs_are_refused(engine: EngineProcess) -> None:
    plan = flow(step("a", "{{ inputs.text }}"))
    first = await engine.start(plan, {"text": "x", "tags": ["p"]})
    ended = await engine.end(first)
    assert await engine.engine.start(plan, "d", {"tags": ["p"], "text": "x"}, _options(first)) == ended
    with pytest.raises(FlowError) as caught:
        await engine.engine.start(plan, "d", {"text": "y"}, _options(first))
    assert caught.value.record.reason is Reason.REQUEST_ID_REUSED
    assert await engine.engine.read(first) == ended


def _options(execution_id: str) -> StartOptions:
    return StartOptions(execution_id)


async def test_a_run_that_was_acknowledged_waits_as_long_as_it_takes(flushed_redis_url: str, tmp_path: Path) -> None:
    plan = flow(step("a", 1))
    async with Link(flushed_redis_url) as link:
        process = EngineProcess(link, tmp_path, {})
        execution_id = await process.start(plan, to_self=False)
        assert await link.execute("PTTL", keys.execution_head(execution_id)) == -1
        assert await process.state.open_runs(2**53, offset=0, limit=10) == [execution_id]
    async with engine_process(flushed_redis_url, tmp_path, process.plans) as engine:
        assert (await engine.end(execution_id)).status is ExecutionStatus.COMPLETED


async def test_what_never_was_is_not_found(engine: EngineProcess) -> None:
    async def watch() -> None:
        async for _ in engine.engine.watch("nothing"):
            pass

    for ask in (engine.engine.read("nothing"), engine.engine.cancel("nothing"), watch()):
        with pytest.raises(FlowError) as caught:
            await ask
        assert caught.value.record.reason is Reason.EXECUTION_NOT_FOUND


@pytest.mark.parametrize("where", ["inline", "pool"])
async def test_cancel_ends_a_run_in_mid_step(
    engine: EngineProcess, gate: Gate, redis_url: str, tmp_path: Path, where: str
) -> None:
    plan = flow(step("a", "gate", **(GATED if where == "inline" else POOL_GATED)), step("b", "{{ steps.a.value }}"))
    async with worker_process(redis_url, tmp_path, "gates"):
        execution_id = await engine.start(plan)
        await asyncio.wait_for(gate.came.acquire(), 5)
        await engine.engine.cancel(execution_id)
        run = await engine.end(execution_id)
        assert run.status is ExecutionStatus.CANCELLED
        assert {path: one.status for path, one in run.steps.items()} == {"a": StepStatus.CANCELLED}
        await asyncio.wait_for(gate.left.acquire(), 5)
    assert await engine.engine.cancel(execution_id) == run, "a run that has ended stays as it is"


async def test_an_owner_that_was_fenced_stops_what_it_runs_and_writes_no_more(
    engine: EngineProcess, gate: Gate
) -> None:
    execution_id = await engine.start(flow(step("a", "gate", **GATED)))
    await asyncio.wait_for(gate.came.acquire(), 5)
    await engine.state.open(execution_id, 2**50, "thief")
    before = await engine.engine.read(execution_id)
    await engine.engine.cancel(execution_id)
    await asyncio.wait_for(gate.left.acquire(), 5)
    assert await engine.engine.read(execution_id) == before


async def test_another_server_can_cancel_and_watch(
    engine: EngineProcess, gate: Gate, redis_url: str, tmp_path: Path
) -> None:
    async with engine_process(redis_url, tmp_path, engine.plans) as other:
        execution_id = await engine.start(flow(step("a", "gate", **GATED)))
        seen: list[EventRecord] = []

        async def watch() -> None:
            async for event in other.engine.watch(execution_id):
                seen.append(event)
                if event.kind is EventKind.STEP_STARTED:
                    assert (await other.engine.cancel(execution_id)).execution_id == execution_id

        await asyncio.wait_for(watch(), 10)
        assert [event.sequence for event in seen if event.sequence] == [1, 2, 3, 4]
        assert (await other.engine.read(execution_id)).status is ExecutionStatus.CANCELLED


async def test_a_run_that_nobody_drives_is_taken_up_to_be_cancelled(
    flushed_redis_url: str, tmp_path: Path, gate: Gate
) -> None:
    async with engine_process(flushed_redis_url, tmp_path) as engine:
        execution_id = await engine.start(flow(step("a", "gate", **GATED)))
        await asyncio.wait_for(gate.came.acquire(), 5)
        await engine.link.execute("DEL", "pf:{flows}:c:" + execution_id, "pf:{flows}:wait")
        await engine.kill()
    async with engine_process(flushed_redis_url, tmp_path, engine.plans) as other:
        await other.engine.cancel(execution_id)
        run = await asyncio.wait_for(other.end(execution_id), 5)  # sooner than the sweep would find it
        assert run.status is ExecutionStatus.CANCELLED


@pytest.mark.parametrize("death", ["killed", "stopped"])
@pytest.mark.parametrize("where", ["inline", "pool"])
async def test_another_server_goes_on_with_the_runs_of_one_that_is_gone(
    flushed_redis_url: str, tmp_path: Path, gate: Gate, where: str, death: str
) -> None:
    plan = flow(
        step("first", "{{ inputs.text }}"),
        step("held", "gate", needs=("first",), **(GATED if where == "inline" else POOL_GATED)),
        step("last", "{{ steps.first.value }}{{ steps.held.value }}"),
    )
    async with worker_process(flushed_redis_url, tmp_path, "gates"), engine_process(flushed_redis_url, tmp_path) as old:
        execution_id = await old.start(plan, {"text": "x"})
        await asyncio.wait_for(gate.came.acquire(), 5)
        async with engine_process(flushed_redis_url, tmp_path, old.plans) as new:
            watching = asyncio.create_task(_watch(new, execution_id))
            if death == "killed":
                await old.kill()
            else:
                await old.engine.drain(0)
            await new.until(execution_id, lambda event: event.kind is EventKind.STEP_STARTED)
            gate.opened.set()
            events = await asyncio.wait_for(watching, 8)
            run = await new.engine.read(execution_id)
    assert run.status is ExecutionStatus.COMPLETED
    assert run.server == new.server_id
    call = f"{execution_id}/held/-/1"
    assert run.result is not None
    assert run.result["last"] == {"value": f"x{call}"}
    assert set(gate.calls) == {call}, "the same attempt under the same key"
    assert len(gate.calls) == (2 if where == "inline" else 1), "a call of a pool does not run again"
    stored = [event for event in events if event.sequence]
    assert [event.sequence for event in stored] == list(range(1, run.sequence + 1))
    assert [event.step for event in stored if event.kind is EventKind.STEP_COMPLETED] == ["first", "held", "last"]


async def _watch(process: EngineProcess, execution_id: str) -> list[EventRecord]:
    return [event async for event in process.engine.watch(execution_id)]


async def test_the_sweep_finds_a_run_that_fell_out_of_the_queue(engine: EngineProcess) -> None:
    plan = flow(step("a", 1))
    execution_id = uuid4().hex
    record = replace((await engine.run(plan))[0], execution_id=execution_id, status=ExecutionStatus.QUEUED)
    record = replace(record, created_at_ms=1, sequence=1, steps={}, result=None)
    await engine.state.create(record, EventRecord(execution_id, 1, 1, EventKind.ACCEPTED))
    await engine.state.list_open(execution_id, 1)
    await engine.engine.sweep()
    assert (await engine.end(execution_id)).status is ExecutionStatus.COMPLETED


async def test_a_sweep_takes_a_page_of_the_open_runs_and_the_next_one_goes_on(
    flushed_redis_url: str, tmp_path: Path
) -> None:
    async with Link(flushed_redis_url) as link:
        process = EngineProcess(link, tmp_path, {})
        entries = [part for number in range(SWEEP_PAGE + 3) for part in (number, f"run-{number}")]
        await link.execute("ZADD", keys.open_runs(), *entries)
        waiting: list[int] = []
        for _ in range(3):
            await process.engine.sweep()
            waiting.append(await link.execute("ZCARD", f"{keys.queue(keys.FLOWS_QUEUE)}wait"))
            if len(waiting) == 2:
                await link.execute("DEL", f"{keys.queue(keys.FLOWS_QUEUE)}wait")
                await asyncio.gather(
                    *(link.execute("DEL", f"{keys.queue(keys.FLOWS_QUEUE)}c:run-{number}") for number in range(3))
                )
        assert waiting == [SWEEP_PAGE, SWEEP_PAGE + 3, 3]


async def test_the_sweep_clears_the_index_of_runs_that_are_gone(engine: EngineProcess) -> None:
    await engine.state.list_open("vanished", 1)
    await engine.engine.sweep()
    await _unlisted(engine)


async def test_a_signal_whose_push_was_lost_is_found_by_looking(
    flushed_redis_url: str, tmp_path: Path, gate: Gate
) -> None:
    async with engine_process(flushed_redis_url, tmp_path, look_s=0.02) as engine:
        execution_id = await engine.start(flow(step("a", "gate", **GATED)))
        await asyncio.wait_for(gate.came.acquire(), 5)
        await engine.link.execute("HSET", keys.execution_head(execution_id), "sig", "cancel")
        assert (await engine.end(execution_id)).status is ExecutionStatus.CANCELLED


async def test_a_signal_is_found_by_looking_however_much_happens(
    flushed_redis_url: str, tmp_path: Path, gate: Gate
) -> None:
    async with engine_process(flushed_redis_url, tmp_path, look_s=0.05) as engine:
        execution_id = await engine.start(flow(step("a", "gate", executor="chatty")))
        await asyncio.wait_for(gate.came.acquire(), 5)
        await engine.link.execute("HSET", keys.execution_head(execution_id), "sig", "cancel")
        assert (await asyncio.wait_for(engine.end(execution_id), 5)).status is ExecutionStatus.CANCELLED


async def test_a_signal_is_looked_up_when_pushes_may_have_been_missed(
    flushed_redis_url: str, tmp_path: Path, gate: Gate
) -> None:
    async with engine_process(flushed_redis_url, tmp_path, look_s=60.0) as engine:
        execution_id = await engine.start(flow(step("a", "gate", **GATED)))
        await asyncio.wait_for(gate.came.acquire(), 5)
        await engine.link.execute("HSET", keys.execution_head(execution_id), "sig", "cancel")
        await engine.link.execute("CLIENT", "KILL", "TYPE", "pubsub")
        assert (await asyncio.wait_for(engine.end(execution_id), 5)).status is ExecutionStatus.CANCELLED


async def test_a_run_that_does_its_owner_no_harm_can_be_handed_on_as_often_as_it_likes(
    flushed_redis_url: str, tmp_path: Path, gate: Gate
) -> None:
    execution_id = ""
    plans: dict[str, FlowPlan] = {}
    for hand_off in range(MAX_OPENS + 2):
        # To this clock, ten seconds are nothing.
        async with engine_process(
            flushed_redis_url, tmp_path, plans, look_s=0.02, monotonic=lambda: time.monotonic() * 10_000
        ) as engine:
            plans = engine.plans
            execution_id = execution_id or await engine.start(flow(step("a", "gate", **GATED)))
            await asyncio.wait_for(gate.came.acquire(), 5)
            async with asyncio.timeout(5):
                while await engine.link.execute("HGET", keys.execution_head(execution_id), "opens") != b"0":
                    pass
            await engine.engine.drain(0)
        assert hand_off < len(gate.calls)
    gate.opened.set()
    async with engine_process(flushed_redis_url, tmp_path, plans) as engine:
        assert (await engine.end(execution_id)).status is ExecutionStatus.COMPLETED


async def test_a_run_whose_bundle_is_gone_fails_and_says_so(engine: EngineProcess) -> None:
    plan = flow(step("a", 1))
    execution_id = (await engine.engine.start(plan, "gone", {}, _options(uuid4().hex))).execution_id
    run = await engine.end(execution_id)
    assert run.error is not None
    assert (run.status, run.error.reason) == (ExecutionStatus.FAILED, Reason.FLOW_NOT_FOUND)


async def test_a_run_that_takes_its_owners_down_is_given_up(engine: EngineProcess) -> None:
    plan = flow(step("a", 1))
    execution_id = await _created(engine, plan)
    for epoch in range(1, MAX_OPENS + 1):
        await engine.state.open(execution_id, epoch, f"victim-{epoch}")
    await engine.runs.put(execution_id, to_self=True)
    run = await engine.end(execution_id)
    assert run.error is not None
    assert (run.status, run.error.reason) == (ExecutionStatus.FAILED, Reason.CRASH_LOOP)


async def _created(engine: EngineProcess, plan: Any) -> str:
    ended = (await engine.run(plan))[0]
    execution_id = uuid4().hex
    record = replace(ended, execution_id=execution_id, status=ExecutionStatus.QUEUED, sequence=1, result=None)
    await engine.state.create(record, EventRecord(execution_id, 1, 1, EventKind.ACCEPTED))
    return execution_id


async def test_a_fault_of_the_engine_fails_the_run_and_not_the_process(engine: EngineProcess) -> None:
    broken = flow(step("a", 1, executor="broken", retry=None))
    run, _ = await engine.run(broken)
    assert run.error is not None
    assert (run.status, run.error.reason) == (ExecutionStatus.FAILED, Reason.INTERNAL)
    assert "AttributeError" in run.error.message
    assert run.steps["a"].status is StepStatus.CANCELLED
    assert (await engine.run(flow(step("a", 1))))[0].status is ExecutionStatus.COMPLETED


async def test_a_server_that_drains_starts_nothing_and_lets_its_runs_end(engine: EngineProcess, gate: Gate) -> None:
    execution_id = await engine.start(flow(step("a", "gate", **GATED)))
    await asyncio.wait_for(gate.came.acquire(), 5)
    draining = asyncio.create_task(engine.engine.drain(10))
    await asyncio.sleep(0)
    with pytest.raises(FlowError) as caught:
        await engine.start(flow(step("a", 1)))
    assert caught.value.record.reason is Reason.SERVER_DRAINING
    gate.opened.set()
    await asyncio.wait_for(draining, 5)
    assert (await engine.engine.read(execution_id)).status is ExecutionStatus.COMPLETED
    assert engine.serving is not None
    await asyncio.wait_for(engine.serving, 5)


async def test_a_server_that_drains_takes_no_run_of_others(flushed_redis_url: str, tmp_path: Path, gate: Gate) -> None:
    plan = flow(step("a", 1))
    async with engine_process(flushed_redis_url, tmp_path) as leaving:
        held = await leaving.start(flow(step("a", "gate", **GATED)))
        await asyncio.wait_for(gate.came.acquire(), 5)
        draining = asyncio.create_task(leaving.engine.drain(30))
        await asyncio.sleep(0)
        elsewhere = EngineProcess(leaving.link, tmp_path, leaving.plans)
        execution_id = await elsewhere.start(plan, to_self=False)
        await _beats(leaving, 3)
        assert (await elsewhere.engine.read(execution_id)).status is ExecutionStatus.QUEUED
        assert not draining.done()
        async with engine_process(flushed_redis_url, tmp_path, leaving.plans) as staying:
            assert (await staying.end(execution_id)).server == staying.server_id
            gate.opened.set()
            await asyncio.wait_for(draining, 5)
            run = await staying.end(held)
            assert (run.status, run.server) == (ExecutionStatus.COMPLETED, leaving.server_id)


async def _beats(engine: EngineProcess, count: int) -> None:
    """Wait until the server has renewed its lease that often."""
    seen: set[bytes] = set()
    async with asyncio.timeout(5):
        while len(seen) <= count:
            seen.add(await engine.link.execute("HGET", f"{keys.queue(keys.FLOWS_QUEUE)}seen", engine.server_id))


async def test_templates_that_loop_are_rendered_off_the_loop_with_the_same_result(engine: EngineProcess) -> None:
    run, _ = await engine.run(flow(step("a", "{% for tag in inputs.tags %}<{{ tag }}>{% endfor %}")), tags=["x", "y"])
    assert run.result == {"a": {"value": "<x><y>"}}


async def test_a_run_goes_on_after_redis_was_away(tmp_path: Path, gate: Gate) -> None:
    redis_server = EmbeddedRedis(tmp_path / "redis")
    url = await asyncio.to_thread(redis_server.start)
    try:
        async with worker_process(url, tmp_path, "gates"), engine_process(url, tmp_path) as engine:
            plan = flow(
                step("near", "gate", **GATED), step("far", "gate", **POOL_GATED), step("last", 1, needs=("far",))
            )
            execution_id = await engine.start(plan)
            watching = asyncio.create_task(_watch(engine, execution_id))
            for _ in range(2):
                await asyncio.wait_for(gate.came.acquire(), 5)
            # Its guard starts it again, with what it had.
            await asyncio.to_thread(_crash, url)
            gate.opened.set()
            events = await asyncio.wait_for(watching, 15)
            run = await engine.engine.read(execution_id)
        assert run.status is ExecutionStatus.COMPLETED
        assert [event.sequence for event in events if event.sequence] == list(range(1, run.sequence + 1))
    finally:
        await asyncio.to_thread(redis_server.close)


def _crash(url: str) -> None:
    with redis.Redis.from_url(url) as client, suppress(redis.ConnectionError):
        client.shutdown(nosave=True)


async def test_without_redis_start_and_read_answer_in_bounded_time(tmp_path: Path) -> None:
    async with Link("redis://127.0.0.1:1/0", patience_s=0.2) as link:
        engine = EngineProcess(link, tmp_path, {})
        for ask in (engine.start(flow(step("a", 1))), engine.engine.read("x"), engine.engine.cancel("x")):
            with pytest.raises(FlowError) as caught:
                await asyncio.wait_for(ask, 5)
            assert caught.value.record.reason is Reason.STORE_UNAVAILABLE
