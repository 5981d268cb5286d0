"""BatchExecute, over gRPC and its HTTP twin: every outcome is what Execute answers for its request alone."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]
from structlog.testing import capture_logs
from tests.contract.memory_engine import MemoryEngine, complete, stall
from tests.contract.serving import CallError, Server, serving
from tests.contract.test_execute import failed

from promptflow_codegen.build import MAX_BATCH
from promptflow_codegen.bundle import Bundle
from promptflow_core.errors import FlowError, Reason
from promptflow_core.records import EventKind, ExecutionStatus
from promptflow_server.services.batches import Batches
from promptflow_server.services.contracts import Contracts

JSON = "application/json"
SYNC = 2
QUEUED, COMPLETED = 1, 3


def details_of(status: Any) -> tuple[int, str, str, dict[str, str]]:
    """Code, message, reason and violations of a google.rpc.Status."""
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    whole = status_pb2.Status.FromString(status.SerializeToString())
    for detail in whole.details:
        detail.Unpack(info)
        detail.Unpack(bad)
    violations = {violation.field: violation.description for violation in bad.field_violations}
    return whole.code, whole.message, info.reason, violations


async def batch(server: Server, *requests: Any, **options: Any) -> list[Any]:
    request = server.contract.batch_execute_request(requests=requests)
    return list((await server.call("BatchExecute", request, **options)).outcomes)


async def post_batch(server: Server, body: Any, headers: dict[str, str] | None = None) -> list[Any]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return list((await server.post([data], JSON, headers, method="BatchExecute")).outcomes)


def field(number: int, content: bytes) -> bytes:
    """A length-delimited field on the wire."""
    return bytes([number << 3 | 2, len(content)]) + content


async def alone(server: Server, data: bytes) -> CallError:
    with pytest.raises(CallError) as caught:
        await server.call("Execute", data)
    return caught.value


BAD: dict[str, bytes] = {
    "nothing given": b"",
    "several mistakes": field(1, b"x") + b"\x10\xd0\x0f",
    "not UTF-8": field(1, b"\xff\xff"),
    "cut off": b"\x0a\x50ab",
    "an unknown number": field(1, b"hello") + b"\xfa\x3f\x01a",
}


@pytest.mark.parametrize("name", BAD)
async def test_a_bad_request_has_the_error_of_execute_and_stops_no_other(
    server: Server, engine: MemoryEngine, name: str
) -> None:
    good = server.contract.execute_request(text="hello", execution_mode=SYNC).SerializeToString()
    response = await server.call("BatchExecute", field(1, good) + field(1, BAD[name]) + field(1, good))
    first, second, third = response.outcomes
    failure = await alone(server, BAD[name])
    assert [first.execution.status, third.execution.status] == [COMPLETED, COMPLETED]
    assert first.execution.result.inspect.text == "hello"
    assert details_of(second.error) == (
        failure.code.value[0],
        failure.message,
        failure.info.reason,
        failure.violations,
    )
    assert len(engine.runs) == 2


async def test_sync_runs_are_waited_for_at_the_same_time_and_async_ones_answer_queued(
    server: Server, engine: MemoryEngine
) -> None:
    all_started = asyncio.Barrier(5)

    async def together(engine: MemoryEngine, execution_id: str) -> None:
        if engine.runs[execution_id].options.to_self:
            async with asyncio.timeout(5):
                await all_started.wait()
            await complete(engine, execution_id)

    engine.script = together
    request = server.contract.execute_request
    modes = [SYNC, 1, SYNC, SYNC, 0, SYNC, SYNC]
    outcomes = await batch(server, *(request(text=f"text {n}", execution_mode=mode) for n, mode in enumerate(modes)))
    assert [outcome.execution.status for outcome in outcomes] == [
        COMPLETED if mode == SYNC else QUEUED for mode in modes
    ]
    ends = [outcome.execution for outcome in outcomes if outcome.execution.status == COMPLETED]
    assert [end.result.inspect.text for end in ends] == ["text 0", "text 2", "text 3", "text 5", "text 6"]


async def test_outcomes_stand_in_the_order_of_requests_whichever_ends_first(
    server: Server, engine: MemoryEngine
) -> None:
    ended: dict[str, asyncio.Event] = {str(number): asyncio.Event() for number in range(11, 15)}

    async def backwards(engine: MemoryEngine, execution_id: str) -> None:
        number = str(engine.runs[execution_id].record.inputs["text"])
        after = ended.get(str(int(number) + 1))
        if after is not None:
            await after.wait()
        await complete(engine, execution_id)
        ended[number].set()

    engine.script = backwards
    request = server.contract.execute_request
    outcomes = await batch(server, *(request(text=number, execution_mode=SYNC) for number in ended))
    assert [outcome.execution.result.inspect.text for outcome in outcomes] == list(ended)


async def test_a_run_that_fails_is_an_error_with_its_place(server: Server, engine: MemoryEngine) -> None:
    engine.script = failed
    (outcome,) = await batch(server, server.contract.execute_request(text="hello", execution_mode=SYNC))
    code, _, reason, _ = details_of(outcome.error)
    assert (code, reason) == (grpc.StatusCode.UNAVAILABLE.value[0], "NO_WORKERS")


async def test_one_request_id_in_a_batch_is_one_run(server: Server, engine: MemoryEngine) -> None:
    request = server.contract.execute_request
    same = request(text="hello", execution_mode=SYNC, options={"request_id": "r1"})
    other = request(text="other", execution_mode=SYNC, options={"request_id": "r1"})
    outcomes = await batch(server, same, other, same)
    assert outcomes[0] == outcomes[2]
    assert details_of(outcomes[1].error)[2] == "REQUEST_ID_REUSED"
    assert list(engine.runs) == [outcomes[0].execution.execution_id]


async def test_the_first_request_with_an_id_starts_its_run_however_long_its_files_take(
    server: Server, engine: MemoryEngine
) -> None:
    request = server.contract.execute_request
    slow = request(text="hello", document={"content": b"x" * 60_000}, options={"request_id": "r1"})
    quick = request(text="other", options={"request_id": "r1"})
    first, second = await batch(server, slow, quick)
    assert engine.runs[first.execution.execution_id].record.inputs["text"] == "hello"
    assert details_of(second.error)[2] == "REQUEST_ID_REUSED"


async def test_read_masks_cut_each_execution(server: Server) -> None:
    options = {"read_mask": {"paths": ["result.inspect.text"]}}
    request = server.contract.execute_request(text="hello", execution_mode=SYNC, options=options)
    cut, whole = await batch(server, request, server.contract.execute_request(text="hello", execution_mode=SYNC))
    assert not cut.execution.HasField("metadata")
    assert cut.execution.result.inspect.text == "hello"
    assert whole.execution.HasField("metadata")


@pytest.mark.parametrize("count", [0, MAX_BATCH + 1])
async def test_a_batch_of_none_or_too_many_is_one_error_and_starts_nothing(
    server: Server, engine: MemoryEngine, count: int
) -> None:
    requests = [{"text": "hello"}] * count
    expected = {"requests": f"a batch takes 1 to 1000 requests, not {count}"}
    with pytest.raises(CallError) as over_grpc:
        await batch(server, *(server.contract.execute_request(**request) for request in requests))
    with pytest.raises(CallError) as over_http:
        await post_batch(server, {"requests": requests})
    for caught in (over_grpc, over_http):
        assert (caught.value.code, caught.value.violations) == (grpc.StatusCode.INVALID_ARGUMENT, expected)
    assert not engine.runs


async def test_a_batch_of_the_largest_size_is_answered(server: Server, engine: MemoryEngine) -> None:
    request = server.contract.execute_request(text="hello")
    outcomes = await batch(server, *[request] * MAX_BATCH)
    assert len({outcome.execution.execution_id for outcome in outcomes}) == MAX_BATCH == len(engine.runs)


async def test_batches_of_all_flows_share_what_may_start_at_a_time(
    everything: Bundle, engine: MemoryEngine, tmp_path: Path
) -> None:
    starts = asyncio.Semaphore(1)
    await starts.acquire()
    async with serving(everything, engine, tmp_path / "files", batch_starts=starts) as server:
        request = server.contract.execute_request(text="hello").SerializeToString()
        answer = await server.call("BatchExecute", field(1, request), timeout=1)
    assert details_of(answer.outcomes[0].error)[2] == "STORE_UNAVAILABLE"
    assert not engine.runs


async def test_a_field_that_batches_do_not_have_is_told(server: Server, engine: MemoryEngine) -> None:
    good = server.contract.execute_request(text="hello").SerializeToString()
    with pytest.raises(CallError) as caught:
        await server.call("BatchExecute", field(1, good) + field(9, b"x"))
    assert caught.value.violations == {"": "a batch has no field 9; update the client"}
    assert not engine.runs


async def test_json_requests_are_read_as_execute_reads_them(server: Server) -> None:
    requests: list[Any] = [{"text": "hello", "execution_mode": "sync"}, {"txet": "x", "count": 2000}, {"text": 7}]
    outcomes = await post_batch(server, {"requests": requests})
    assert outcomes[0].execution.status == COMPLETED
    for request, outcome in list(zip(requests, outcomes, strict=True))[1:]:
        with pytest.raises(CallError) as caught:
            await server.post([json.dumps(request).encode()], JSON)
        failure = caught.value
        assert details_of(outcome.error) == (
            failure.code.value[0],
            failure.message,
            failure.info.reason,
            failure.violations,
        )
    assert details_of(outcomes[1].error)[3]["txet"] == "`everything` v1 has no such input; did you mean `text`?"


@pytest.mark.parametrize(("entry", "shown"), [(None, "null"), ([], "a list"), (5, "a number"), ("a", "text")])
async def test_a_request_that_is_no_object_is_told_by_its_place(entry: Any, shown: str, server: Server) -> None:
    good, bad = await post_batch(server, {"requests": [{"text": "hello", "execution_mode": "sync"}, entry]})
    assert good.execution.status == COMPLETED
    code, _, reason, violations = details_of(bad.error)
    assert (code, reason) == (3, "INVALID_INPUT")
    assert violations == {"requests[1]": f"must be a JSON object with the flow's inputs, not {shown}"}


MALFORMED: list[tuple[bytes, str, dict[str, str]]] = [
    (b'{"requests": [{"text": "a"}', JSON, {}),
    (b"[]", JSON, {}),
    (b'{"requests": {"text": "a"}}', JSON, {"requests": "must be a list, not an object"}),
    (
        b'{"request": [{"text": "a"}], "x": 1}',
        JSON,
        {"request": "a batch has no such field; did you mean `requests`?", "x": "a batch has no such field"},
    ),
    (b"--XX--\r\n", "multipart/form-data; boundary=XX", {}),
]


@pytest.mark.parametrize(("body", "content_type", "violations"), MALFORMED)
async def test_a_batch_that_cannot_be_read_is_one_error(
    server: Server, engine: MemoryEngine, body: bytes, content_type: str, violations: dict[str, str]
) -> None:
    with pytest.raises(CallError) as caught:
        await server.post([body], content_type, method="BatchExecute")
    assert caught.value.code is grpc.StatusCode.INVALID_ARGUMENT
    assert caught.value.violations == violations
    assert not engine.runs


async def test_an_idempotency_key_names_each_request_of_a_batch(server: Server, engine: MemoryEngine) -> None:
    body = {"requests": [{"text": "one"}, {"text": "two"}, {"text": "own", "options": {"request_id": "mine"}}]}
    headers = {"idempotency-key": '"k1"'}
    first, second = await post_batch(server, body, headers), await post_batch(server, body, headers)
    assert [outcome.execution.execution_id for outcome in first] == [
        outcome.execution.execution_id for outcome in second
    ]
    assert len(engine.runs) == 3


async def test_runs_that_do_not_end_leave_the_others_their_answers(server: Server, engine: MemoryEngine) -> None:
    async def uneven(engine: MemoryEngine, execution_id: str) -> None:
        slow = engine.runs[execution_id].record.inputs["text"] == "slow"
        await (stall if slow else complete)(engine, execution_id)

    engine.script = uneven
    request = server.contract.execute_request
    slow, quick = await batch(
        server,
        request(text="slow", execution_mode=SYNC),
        request(text="quick", execution_mode=SYNC),
        timeout=1.0,
    )
    assert quick.execution.result.inspect.text == "quick"
    assert details_of(slow.error)[2] == "EXECUTION_TIMEOUT"
    given = [run.options.timeout_ms or 0 for run in engine.runs.values()]
    assert all(0 < timeout_ms <= 910 for timeout_ms in given), given
    assert engine.watchers == 0


async def test_starts_that_are_not_recorded_in_time_are_errors_of_their_own(
    server: Server, engine: MemoryEngine
) -> None:
    engine.may_start.clear()
    outcomes = await batch(server, *[server.contract.execute_request(text="hello")] * 100, timeout=1.0)
    assert {details_of(outcome.error)[2] for outcome in outcomes} == {"STORE_UNAVAILABLE"}
    engine.may_start.set()


async def test_a_caller_that_leaves_ends_the_wait(server: Server, engine: MemoryEngine) -> None:
    engine.script = stall
    request = server.contract.execute_request(text="hello", execution_mode=SYNC)
    call = asyncio.create_task(batch(server, request, request))
    await engine.watched_by(2)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await engine.watched_by(0)
    assert {run.record.status for run in engine.runs.values()} == {ExecutionStatus.RUNNING}


async def test_an_unforeseen_failure_of_one_request_is_its_own_and_keeps_its_text(
    server: Server, engine: MemoryEngine
) -> None:
    async def odd(engine: MemoryEngine, execution_id: str) -> None:
        engine.emit(execution_id, EventKind.STARTED)
        if engine.runs[execution_id].record.inputs["text"] == "odd":
            engine.end(execution_id, ExecutionStatus.COMPLETED, result={"inspect": {"text": object()}})
        else:
            await complete(engine, execution_id)

    engine.script = odd
    request = server.contract.execute_request
    with capture_logs() as logs:
        broken, whole = await batch(
            server, request(text="odd", execution_mode=SYNC), request(text="even", execution_mode=SYNC)
        )
    assert whole.execution.status == COMPLETED
    assert details_of(broken.error)[2] in ("INTERNAL", "OUTPUT_INVALID")
    assert logs


async def test_refused_starts_say_why(server: Server, engine: MemoryEngine) -> None:
    engine.refusal = FlowError(Reason.SERVER_DRAINING, "what to do")
    (outcome,) = await batch(server, server.contract.execute_request(text="hello"))
    assert details_of(outcome.error)[1:3] == ("what to do", "SERVER_DRAINING")


async def test_an_answer_that_would_be_too_large_names_the_runs_that_it_leaves_out(
    server: Server, engine: MemoryEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Batches.__init__, "__kwdefaults__", {"max_answer_bytes": 1_500})
    request = server.contract.execute_request(text="x" * 600, execution_mode=SYNC)
    outcomes = await batch(server, request, request)
    assert [outcome.WhichOneof("outcome") for outcome in outcomes] == ["execution", "error"]
    assert details_of(outcomes[1].error)[2] == "OUTPUT_INVALID"


def test_the_message_of_a_batch_is_what_its_wire_reader_takes_it_for(everything: Bundle) -> None:
    (requests,) = Contracts.of(everything).flows[0].batch_execute_request.DESCRIPTOR.fields
    assert (requests.name, requests.number, requests.is_repeated) == ("requests", 1, True)
