"""Read masks: every method that shows an `Execution` cuts it the same way."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2  # type: ignore[import-untyped]
from tests.contract.serving import CallError, Server

JSON = "application/json"
MASK = {"paths": ["result.inspect.text", "metadata.labels"]}
TEXT_MASK = "result.inspect.text,metadata.labels"


async def by_execute(server: Server, mask: Any) -> list[Any]:
    request = server.contract.execute_request(text="hello", execution_mode=2, options={"read_mask": mask})
    return [await server.call("Execute", request)]


async def by_batch(server: Server, mask: Any) -> list[Any]:
    request = server.contract.execute_request(text="hello", execution_mode=2, options={"read_mask": mask})
    response = await server.call("BatchExecute", server.contract.batch_execute_request(requests=[request, request]))
    for outcome in response.outcomes:
        if outcome.HasField("error"):
            info = error_details_pb2.ErrorInfo()
            raise CallError(grpc.StatusCode.INVALID_ARGUMENT, outcome.error.message, info, {}, None, {})
    return [outcome.execution for outcome in response.outcomes]


async def by_status(server: Server, mask: Any) -> list[Any]:
    run = await server.call("Execute", server.contract.execute_request(text="hello", execution_mode=2))
    request = server.contract.get_status_request(execution_id=run.execution_id, read_mask=mask)
    return [await server.call("GetStatus", request)]


async def by_stream(server: Server, mask: Any) -> list[Any]:
    request = server.contract.execute_request(text="hello", options={"read_mask": mask})
    return shown([event async for event in server.stream("ExecuteStream", request)])


async def by_watch(server: Server, mask: Any) -> list[Any]:
    run = await server.call("Execute", server.contract.execute_request(text="hello", execution_mode=2))
    request = server.contract.watch_request(execution_id=run.execution_id, read_mask=mask)
    return shown([event async for event in server.stream("Watch", request)])


def shown(events: list[Any]) -> list[Any]:
    """The executions that events carry, the last first."""
    kinds = [event.WhichOneof("event") for event in events]
    assert [kind for kind in kinds if kind in ("accepted", "started", "done")] == ["accepted", "started", "done"]
    assert kinds.count("step_completed") == 1
    carried = [event for event in events if event.WhichOneof("event") in ("done", "accepted", "started")]
    return [getattr(event, event.WhichOneof("event")) for event in reversed(carried)]


METHODS: list[Callable[[Server, Any], Awaitable[list[Any]]]] = [by_execute, by_batch, by_status, by_stream, by_watch]


@pytest.mark.parametrize("method", METHODS)
async def test_a_mask_leaves_what_it_names_and_which_run_it_is(
    server: Server, method: Callable[[Server, Any], Awaitable[list[Any]]]
) -> None:
    last, *others = await method(server, MASK)
    expected = server.contract.execution(execution_id=last.execution_id, status=3)
    expected.result.inspect.text = "hello"
    last.ClearField("metadata")
    assert last == expected
    for other in others:
        assert {field.name for field, _ in other.ListFields()} <= {"execution_id", "status", "result", "metadata"}
        assert not other.metadata.HasField("created_at")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "paths", [["nothing"], ["result.inspect.txet", "status"], ["steps.inspect.output.text."], [""]]
)
async def test_a_mask_that_names_nothing_is_an_invalid_argument(
    server: Server, method: Callable[[Server, Any], Awaitable[list[Any]]], paths: list[str]
) -> None:
    with pytest.raises(CallError) as caught:
        await method(server, {"paths": paths})
    assert caught.value.code is grpc.StatusCode.INVALID_ARGUMENT
    assert "is no field of Execution" in caught.value.message


async def test_the_twins_cut_as_the_methods_do(server: Server) -> None:
    run = await server.call("Execute", server.contract.execute_request(text="hello", execution_mode=2))
    request = server.contract.watch_request(execution_id=run.execution_id, read_mask=MASK)
    bodies = [body.data async for body in server.watch_http(request, {"accept": "application/x-ndjson"})]
    events = [json.loads(line) for line in b"".join(bodies).splitlines()]
    assert set(events[-1]["done"]) == {"execution_id", "status", "result", "metadata"}
    body = json.dumps({"text": "hello", "execution_mode": "SYNC", "options": {"read_mask": TEXT_MASK}}).encode()
    execution = await server.post([body], JSON)
    assert not execution.HasField("progress")
    wrong = server.contract.watch_request(execution_id=run.execution_id, read_mask={"paths": ["nothing"]})
    with pytest.raises(CallError) as caught:
        _ = [body async for body in server.watch_http(wrong)]
    assert list(caught.value.violations) == ["read_mask"]
