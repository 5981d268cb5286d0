"""ExecuteStream and Watch, over gRPC: order, shape, heartbeats, resumption, disconnects."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from tests.contract.memory_engine import MemoryEngine, complete, stall
from tests.contract.serving import CallError, Server, serving

from promptflow_codegen.bundle import Bundle
from promptflow_core.errors import ErrorRecord, Reason
from promptflow_core.records import EventKind, ExecutionStatus, StepStatus
from promptflow_server.services.contracts import Message

RUNNING, COMPLETED, FAILED = 2, 3, 4


async def eventful(engine: MemoryEngine, execution_id: str) -> None:
    error = ErrorRecord(Reason.EXECUTOR_FAILED, "it broke", {"step": "label"})
    engine.emit(execution_id, EventKind.STARTED)
    engine.emit(execution_id, EventKind.STEP_STARTED, step="label", attempt=1)
    engine.tell(execution_id, EventKind.STEP_PROGRESS, step="label", item=0, percentage=50.0, message="half")
    engine.emit(execution_id, EventKind.STEP_RETRYING, step="label", item=1, attempt=1, error=error, delay_ms=1500)
    engine.emit(execution_id, EventKind.STEP_OUTPUT, step="label", item=0, attempt=2, output={"label": "go"})
    engine.emit(execution_id, EventKind.STEP_COMPLETED, step="inspect", attempt=1, output={"text": ""})
    engine.emit(execution_id, EventKind.STEP_COMPLETED, step="label", attempt=1)
    engine.emit(execution_id, EventKind.STEP_SKIPPED, step="inspect", reason="condition is false")
    engine.emit(execution_id, EventKind.STEP_FAILED, step="label", item=1, attempt=2, error=error)
    engine.set_step("label", execution_id, status=StepStatus.FAILED, items_total=2)
    engine.set_step("label/1", execution_id, status=StepStatus.FAILED, attempt=2, error=error)
    engine.set_step("label/0", execution_id, status=StepStatus.COMPLETED, attempt=1, output={"label": "good"})
    engine.end(execution_id, ExecutionStatus.FAILED, error=error)


async def collected(events: AsyncIterator[Message]) -> list[Message]:
    return [event async for event in events]


def kinds(events: list[Message]) -> list[str]:
    return [event.WhichOneof("event") for event in events]


async def test_a_stream_tells_a_run_from_accepted_to_done(server: Server) -> None:
    events = await collected(server.stream("ExecuteStream", server.contract.execute_request(text="hello")))
    assert kinds(events) == ["accepted", "started", "step_started", "step_completed", "done"]
    assert [event.sequence for event in events] == [1, 2, 3, 4, 5]
    assert {event.execution_id for event in events} == {server.sent_headers["x-execution-id"]}


async def test_accepted_and_started_show_the_run_as_it_was_and_done_as_it_is(server: Server) -> None:
    events = await collected(server.stream("ExecuteStream", server.contract.execute_request(text="hello")))
    accepted, started, done = events[0].accepted, events[1].started, events[-1].done
    assert [accepted.status, started.status, done.status] == [1, RUNNING, COMPLETED]
    assert not accepted.HasField("result")
    assert not accepted.metadata.HasField("started_at")
    assert started.metadata.started_at == events[1].time
    assert accepted.metadata.created_at == done.metadata.created_at
    assert (done.result.inspect.text, done.steps.inspect.output.text) == ("hello", "hello")
    assert done.metadata.HasField("finished_at")


async def test_every_kind_of_step_event_has_its_shape(server: Server, engine: MemoryEngine) -> None:
    engine.script = eventful
    events = await collected(server.stream("ExecuteStream", server.contract.execute_request(text="hello")))
    by_kind = {event.WhichOneof("event"): event for event in events}
    retrying, failed, skipped = by_kind["step_retrying"], by_kind["step_failed"], by_kind["step_skipped"]
    assert (retrying.step_retrying.delay.ToMilliseconds(), retrying.step_retrying.item) == (1500, 1)
    assert retrying.step_retrying.error.message == "it broke"
    assert (failed.step_failed.step, failed.step_failed.attempt) == ("label", 2)
    assert skipped.step_skipped.reason == "condition is false"
    assert by_kind["step_output"].step_output.output.label.label == "go"
    assert by_kind["step_progress"].step_progress.percentage == 50.0
    assert by_kind["step_progress"].sequence == 0
    inspect, label = [event.step_completed for event in events if event.HasField("step_completed")]
    assert inspect.output.inspect.HasField("text")
    assert not inspect.HasField("item")
    assert not label.HasField("output")


async def test_a_run_that_fails_ends_its_stream_well_with_the_failure_in_done(
    server: Server, engine: MemoryEngine
) -> None:
    engine.script = eventful
    events = await collected(server.stream("ExecuteStream", server.contract.execute_request(text="hello")))
    done = events[-1].done
    assert (done.status, done.error.message) == (FAILED, "it broke")
    assert [(item.index, item.output.label, item.state.error.message) for item in done.steps.label.items] == [
        (0, "good", ""),
        (1, "", "it broke"),
    ]


async def finished_run(server: Server) -> str:
    execution = await server.call("Execute", server.contract.execute_request(text="hello", execution_mode=2))
    execution_id: str = execution.execution_id
    return execution_id


@pytest.mark.parametrize(("after", "sequences"), [(0, [1, 2, 3, 4, 5]), (3, [4, 5]), (5, [5]), (500, [5])])
async def test_watch_tells_what_comes_after_and_repeats_done_at_the_end(
    server: Server, after: int, sequences: list[int]
) -> None:
    execution_id = await finished_run(server)
    request = server.contract.watch_request(execution_id=execution_id, after_sequence=after)
    events = await collected(server.stream("Watch", request))
    assert [event.sequence for event in events] == sequences
    assert events[-1].done.status == COMPLETED


async def test_watch_follows_a_run_that_goes_on(server: Server, engine: MemoryEngine) -> None:
    engine.script = stall
    execution = await server.call("Execute", server.contract.execute_request(text="hello"))
    request = server.contract.watch_request(execution_id=execution.execution_id, after_sequence=1)
    async with aclosing(server.stream("Watch", request)) as events:
        assert (await anext(events)).HasField("started")
        engine.emit(execution.execution_id, EventKind.STEP_STARTED, step="inspect", attempt=1)
        assert (await anext(events)).step_started.step == "inspect"
        engine.end(execution.execution_id, ExecutionStatus.COMPLETED, result={})
        assert (await anext(events)).HasField("done")
        with pytest.raises(StopAsyncIteration):
            await anext(events)


async def test_headers_arrive_before_the_first_event(server: Server, engine: MemoryEngine) -> None:
    engine.script = stall
    execution = await server.call("Execute", server.contract.execute_request(text="hello"))
    request = server.contract.watch_request(execution_id=execution.execution_id, after_sequence=2)
    call: Any = server.channel.unary_stream(f"/{server.contract.service}/Watch")(request.SerializeToString(), timeout=5)
    headers = dict(await call.initial_metadata())
    call.cancel()
    assert headers["x-execution-id"] == execution.execution_id


@pytest.fixture
async def beating(everything: Bundle, engine: MemoryEngine, tmp_path: Path) -> AsyncIterator[Server]:
    engine.script = stall
    async with serving(everything, engine, tmp_path / "files", heartbeat_s=0.02) as server:
        yield server


async def test_a_silent_stream_beats_and_then_goes_on(beating: Server, engine: MemoryEngine) -> None:
    async with aclosing(beating.stream("ExecuteStream", beating.contract.execute_request(text="hello"))) as events:
        seen = [await anext(events) for _ in range(5)]
        assert kinds(seen) == ["accepted", "started", "heartbeat", "heartbeat", "heartbeat"]
        assert [event.sequence for event in seen[2:]] == [0, 0, 0]
        assert seen[2].progress == seen[1].progress
        assert seen[2].time.ToMilliseconds() > 0
        await complete(engine, seen[0].execution_id)
        rest = [event async for event in events]
    told = [event for event in rest if not event.HasField("heartbeat")]
    assert [event.sequence for event in told] == [3, 4, 5, 6]
    assert told[-1].HasField("done")


async def test_a_watcher_that_leaves_ends_the_watching_and_not_the_run(server: Server, engine: MemoryEngine) -> None:
    engine.script = stall
    async with aclosing(server.stream("ExecuteStream", server.contract.execute_request(text="hello"))) as events:
        first = await anext(events)
        await engine.watched_by(1)
    await engine.watched_by(0)
    assert engine.runs[first.execution_id].record.status is ExecutionStatus.RUNNING


async def test_a_read_mask_cuts_the_executions_in_a_stream(server: Server) -> None:
    request = server.contract.execute_request(text="hello", options={"read_mask": {"paths": ["error"]}})
    events = await collected(server.stream("ExecuteStream", request))
    execution_id = events[0].execution_id
    assert [events[0].accepted, events[-1].done] == [
        server.contract.execution(execution_id=execution_id, status=1),
        server.contract.execution(execution_id=execution_id, status=COMPLETED),
    ]
    assert events[3].step_completed.output.inspect.text == "hello"


NO_SUCH = "00000000-0000-4000-8000-000000000000"


@pytest.mark.parametrize("execution_id", [NO_SUCH, "x", "{x}", "a" * 100_000, NO_SUCH.upper() + "A"])
@pytest.mark.parametrize(
    ("method", "request_class"),
    [("Watch", "watch_request"), ("GetStatus", "get_status_request"), ("Cancel", "cancel_request")],
)
async def test_an_unknown_execution_is_not_found(
    server: Server, method: str, request_class: str, execution_id: str
) -> None:
    request = getattr(server.contract, request_class)(execution_id=execution_id)
    with pytest.raises(CallError) as caught:
        if method == "Watch":
            await collected(server.stream(method, request))
        else:
            await server.call(method, request)
    assert caught.value.code is grpc.StatusCode.NOT_FOUND
    assert caught.value.info.reason == "EXECUTION_NOT_FOUND"


@pytest.mark.parametrize("change", [{"flow": "other"}, {"version": 2}])
async def test_an_execution_of_another_flow_or_version_is_not_found(
    server: Server, engine: MemoryEngine, change: dict[str, Any]
) -> None:
    execution_id = await finished_run(server)
    run = engine.runs[execution_id]
    run.record = replace(run.record, **change)
    with pytest.raises(CallError) as caught:
        await server.call("GetStatus", server.contract.get_status_request(execution_id=execution_id))
    assert caught.value.info.reason == "EXECUTION_NOT_FOUND"


async def test_cancel_ends_a_run_and_leaves_one_that_has_ended(server: Server, engine: MemoryEngine) -> None:
    engine.script = stall
    running = await server.call("Execute", server.contract.execute_request(text="hello"))
    request = server.contract.cancel_request(execution_id=running.execution_id)
    assert (await server.call("Cancel", request)).status == 5
    engine.script = complete
    ended = await finished_run(server)
    assert (await server.call("Cancel", server.contract.cancel_request(execution_id=ended))).status == COMPLETED


async def test_get_status_is_cut_by_its_read_mask(server: Server) -> None:
    execution_id = await finished_run(server)
    request = server.contract.get_status_request(execution_id=execution_id, read_mask={"paths": ["progress"]})
    status = await server.call("GetStatus", request)
    expected = server.contract.execution(execution_id=execution_id, status=3, progress=status.progress)
    assert status == expected
    assert status.progress.percentage == 50.0
