"""Execute, over gRPC: modes, options, defaults, ids, failures."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import grpc
import pytest
from google.protobuf.json_format import MessageToDict
from structlog.testing import capture_logs
from tests.contract.memory_engine import MemoryEngine, complete, stall
from tests.contract.serving import DEADLINE_S, CallError, Server, serving
from tests.unit.server.services.everything import PLAN

from promptflow_codegen.bundle import Bundle
from promptflow_core.errors import ErrorRecord, FlowError, Reason
from promptflow_core.records import EventKind, ExecutionStatus, StepStatus

SYNC, ASYNC = 2, 1
QUEUED, COMPLETED = 1, 3


async def failed(engine: MemoryEngine, execution_id: str) -> None:
    engine.emit(execution_id, EventKind.STARTED)
    error = ErrorRecord(Reason.NO_WORKERS, "no worker of the pool `general` is alive; start one")
    engine.set_step("inspect", execution_id, status=StepStatus.FAILED, attempt=1, error=error)
    engine.emit(execution_id, EventKind.STEP_FAILED, step="inspect", attempt=1, error=error)
    engine.end(execution_id, ExecutionStatus.FAILED, error=error)


@pytest.mark.parametrize("mode", [0, ASYNC])
async def test_async_is_the_default_and_answers_queued_at_once(server: Server, engine: MemoryEngine, mode: int) -> None:
    engine.script = stall
    execution = await server.call("Execute", server.contract.execute_request(text="hello", execution_mode=mode))
    assert execution.status == QUEUED
    assert str(UUID(execution.execution_id)) == execution.execution_id
    assert server.sent_headers["x-execution-id"] == execution.execution_id
    assert not engine.runs[execution.execution_id].options.to_self
    assert [execution.steps.inspect.state.status, execution.steps.label.state.status] == [1, 1]  # PENDING


async def test_sync_answers_the_result(server: Server, engine: MemoryEngine) -> None:
    execution = await server.call("Execute", server.contract.execute_request(text="hello", execution_mode=SYNC))
    assert execution.status == COMPLETED
    assert execution.result.inspect.text == "hello"
    assert execution.steps.inspect.output.text == "hello"
    assert engine.runs[execution.execution_id].options.to_self
    assert engine.watchers == 0


async def test_defaults_apply_to_absence_alone(server: Server, engine: MemoryEngine) -> None:
    absent = await server.call("Execute", server.contract.execute_request(text="hello", execution_mode=SYNC))
    zero = await server.call("Execute", server.contract.execute_request(text="hello", execution_mode=SYNC, count=0))
    assert [absent.result.inspect.count, zero.result.inspect.count] == [7, 0]
    assert engine.runs[absent.execution_id].record.inputs["wait"].total_seconds() == 90


async def test_a_sync_run_that_fails_answers_with_its_status_and_where_it_failed(
    server: Server, engine: MemoryEngine
) -> None:
    engine.script = failed
    with pytest.raises(CallError) as caught:
        await server.call("Execute", server.contract.execute_request(text="hello", execution_mode=SYNC))
    (execution_id,) = engine.runs
    failure = caught.value
    assert failure.code is grpc.StatusCode.UNAVAILABLE
    assert failure.info.reason == "NO_WORKERS"
    assert dict(failure.info.metadata) == {"execution_id": execution_id, "step": "inspect"}
    assert failure.retry_after_s == 1.0


async def test_the_answer_of_a_started_run_has_begun_before_it_fails_so_that_no_proxy_retries_it(
    server: Server, engine: MemoryEngine
) -> None:
    engine.script = failed
    with pytest.raises(CallError) as caught:
        await server.call("Execute", server.contract.execute_request(text="hello", execution_mode=SYNC))
    assert caught.value.headers["x-execution-id"] in engine.runs


async def test_a_cancelled_sync_run_answers_cancelled(server: Server, engine: MemoryEngine) -> None:
    async def cancelled(engine: MemoryEngine, execution_id: str) -> None:
        await engine.cancel(execution_id)

    engine.script = cancelled
    with pytest.raises(CallError) as caught:
        await server.call("Execute", server.contract.execute_request(text="hello", execution_mode=SYNC))
    assert caught.value.code is grpc.StatusCode.CANCELLED
    assert caught.value.info.reason == "EXECUTION_CANCELLED"


@pytest.mark.parametrize(
    "reason", [Reason.STORE_UNAVAILABLE, Reason.SERVER_DRAINING, Reason.REQUEST_ID_REUSED, Reason.QUEUE_FULL]
)
async def test_a_start_that_is_refused_says_why(server: Server, engine: MemoryEngine, reason: Reason) -> None:
    engine.refusal = FlowError(reason, "what to do")
    with pytest.raises(CallError) as caught:
        await server.call("Execute", server.contract.execute_request(text="hello"))
    assert (caught.value.info.reason, caught.value.message) == (reason, "what to do")
    assert "x-execution-id" not in caught.value.headers


async def test_an_unforeseen_failure_is_internal_and_keeps_its_text_to_itself(
    server: Server, engine: MemoryEngine
) -> None:
    engine.refusal = RuntimeError("password=hunter2")
    with capture_logs() as logs, pytest.raises(CallError) as caught:
        await server.call("Execute", server.contract.execute_request(text="hello"))
    (logged,) = logs
    assert caught.value.code is grpc.StatusCode.INTERNAL
    assert "hunter2" not in caught.value.message
    assert logged["reference"] == caught.value.info.metadata["reference"]
    assert logged["reference"] in caught.value.message
    assert logged["exc_info"] is engine.refusal


async def test_a_request_id_names_one_run(server: Server, engine: MemoryEngine) -> None:
    request = server.contract.execute_request(text="hello", options={"request_id": "r1"})
    first, second = await server.call("Execute", request), await server.call("Execute", request)
    assert first.execution_id == second.execution_id
    assert list(engine.runs) == [first.execution_id]


async def test_other_request_ids_and_none_name_other_runs(server: Server, engine: MemoryEngine) -> None:
    for options in ({"request_id": "r1"}, {"request_id": "r2"}, {}, {}):
        await server.call("Execute", server.contract.execute_request(text="hello", options=options))
    assert len(engine.runs) == 4


async def test_options_reach_the_run(server: Server, engine: MemoryEngine) -> None:
    options = {"labels": {"team": "a"}, "timeout": {"seconds": 3}}
    execution = await server.call("Execute", server.contract.execute_request(text="hello", options=options))
    started = engine.runs[execution.execution_id].options
    assert (started.labels, started.timeout_ms) == ({"team": "a"}, 3_000)
    assert dict(execution.metadata.labels) == {"team": "a"}


async def test_the_labels_of_the_flow_reach_the_run_and_the_callers_own_win(
    everything: Bundle, engine: MemoryEngine, tmp_path: Path
) -> None:
    plan = replace(PLAN, labels={"team": "flow", "tier": "gold"})
    async with serving(Bundle.of(everything.descriptors, (plan,)), engine, tmp_path / "files") as server:
        options = {"labels": {"team": "caller"}}
        execution = await server.call("Execute", server.contract.execute_request(text="hello", options=options))
        info = await server.call("GetInfo", server.contract.get_info_request())
    assert dict(execution.metadata.labels) == {"team": "caller", "tier": "gold"}
    assert MessageToDict(info.definition)["labels"] == {"team": "flow", "tier": "gold"}


@pytest.mark.parametrize(
    ("mode", "timeout_s", "least_ms", "most_ms"),
    [
        (SYNC, None, 1, DEADLINE_S * 1000 + 100),
        (SYNC, 3, 3_000, 3_000),
        (SYNC, 1000, 1, DEADLINE_S * 1000 + 100),
        (ASYNC, 1000, 1_000_000, 1_000_000),
    ],
)
async def test_the_deadline_of_a_sync_call_shortens_the_run(
    server: Server, engine: MemoryEngine, mode: int, timeout_s: int | None, least_ms: int, most_ms: int
) -> None:
    options = {} if timeout_s is None else {"timeout": {"seconds": timeout_s}}
    request = server.contract.execute_request(text="hello", execution_mode=mode, options=options)
    execution = await server.call("Execute", request)
    timeout_ms = engine.runs[execution.execution_id].options.timeout_ms
    assert timeout_ms is not None
    assert least_ms <= timeout_ms <= most_ms


async def test_an_async_run_without_timeout_has_none(server: Server, engine: MemoryEngine) -> None:
    execution = await server.call("Execute", server.contract.execute_request(text="hello"))
    assert engine.runs[execution.execution_id].options.timeout_ms is None


async def test_a_read_mask_cuts_the_answer_to_what_it_names_and_which_run_it_is(server: Server) -> None:
    options = {"read_mask": {"paths": ["result.inspect.text"]}}
    request = server.contract.execute_request(text="hello", execution_mode=SYNC, options=options)
    execution = await server.call("Execute", request)
    expected = server.contract.execution(execution_id=execution.execution_id, status=COMPLETED)
    expected.result.inspect.text = "hello"
    assert execution == expected


async def test_a_caller_that_leaves_ends_the_wait_and_not_the_run(server: Server, engine: MemoryEngine) -> None:
    engine.script = stall
    request = server.contract.execute_request(text="hello", execution_mode=SYNC)
    call = asyncio.create_task(server.call("Execute", request))
    await engine.watched_by(1)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await engine.watched_by(0)
    (run,) = engine.runs.values()
    assert run.record.status is ExecutionStatus.RUNNING
    await complete(engine, run.record.execution_id)
    status = await server.call("GetStatus", server.contract.get_status_request(execution_id=run.record.execution_id))
    assert status.status == COMPLETED


async def test_an_output_that_no_message_holds_is_told_and_not_hidden(server: Server, engine: MemoryEngine) -> None:
    async def deep(engine: MemoryEngine, execution_id: str) -> None:
        output: dict[str, object] = {"extra": None}
        for _ in range(30):
            output = {"extra": output}
        engine.end(execution_id, ExecutionStatus.COMPLETED, result={"inspect": output})

    engine.script = deep
    with pytest.raises(CallError) as caught:
        await server.call("Execute", server.contract.execute_request(text="hello", execution_mode=SYNC))
    assert caught.value.info.reason == "OUTPUT_INVALID"
    assert "nests deeper than 24 levels" in caught.value.message
