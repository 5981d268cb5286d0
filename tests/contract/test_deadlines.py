"""Calls whose deadline comes before the store answers: the reason comes first, and a start goes on."""

from __future__ import annotations

import asyncio
import gc
import logging
from typing import Any

import grpc
import pytest
from structlog.testing import capture_logs
from tests.contract.memory_engine import MemoryEngine, stall
from tests.contract.serving import CallError, Server

from promptflow_core.errors import FlowError, Reason

SHORT_S = 1.5
JSON = "application/json"


async def ask(server: Server, method: str, timeout_s: float) -> None:
    contract = server.contract
    if method == "ExecuteHttp":
        await server.post([b'{"text": "ok"}'], JSON, timeout_s=timeout_s)
    elif method == "ExecuteStream":
        _ = [event async for event in server.stream(method, contract.execute_request(text="ok"), timeout=timeout_s)]
    else:
        await server.call(method, contract.execute_request(text="ok"), timeout=timeout_s)


@pytest.mark.parametrize("method", ["Execute", "ExecuteStream", "ExecuteHttp"])
async def test_a_start_that_takes_longer_than_its_caller_waits_says_so_and_goes_on(
    server: Server, engine: MemoryEngine, method: str
) -> None:
    engine.may_start.clear()
    with pytest.raises(CallError) as caught:
        await ask(server, method, SHORT_S)
    assert (caught.value.code, caught.value.info.reason) == (grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE")
    assert "send the request again" in caught.value.message
    assert not engine.started.is_set()
    engine.may_start.set()
    async with asyncio.timeout(5):
        await engine.started.wait()


@pytest.mark.parametrize("method", ["GetStatus", "Cancel", "Watch"])
async def test_a_look_that_takes_longer_than_its_caller_waits_says_so(
    server: Server, engine: MemoryEngine, method: str
) -> None:
    engine.script = stall
    execution = await server.call("Execute", server.contract.execute_request(text="ok"))
    engine.may_read.clear()
    request: Any = {
        "GetStatus": server.contract.get_status_request,
        "Cancel": server.contract.cancel_request,
        "Watch": server.contract.watch_request,
    }[method](execution_id=execution.execution_id)
    with pytest.raises(CallError) as caught:
        if method == "Watch":
            _ = [event async for event in server.stream(method, request, timeout=SHORT_S)]
        else:
            await server.call(method, request, timeout=SHORT_S)
    assert (caught.value.code, caught.value.info.reason) == (grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE")
    assert "send the request again" in caught.value.message


async def test_health_answers_before_its_deadline_which_part_did_not(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(queue: str) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(server.pools, "depth", never)
    health = await server.call("CheckHealth", server.contract.check_health_request(), timeout=SHORT_S)
    assert not health.serving
    assert [part.name for part in health.components if not part.serving] == ["queue/general", "queue/sentiment"]


async def test_a_start_that_fails_after_its_caller_left_is_one_line_in_the_log(
    server: Server, engine: MemoryEngine, caplog: pytest.LogCaptureFixture
) -> None:
    engine.may_start.clear()
    engine.refusal = FlowError(Reason.STORE_UNAVAILABLE, "Redis is away")
    before = asyncio.all_tasks()
    with caplog.at_level(logging.ERROR, "asyncio"), capture_logs() as logs:
        with pytest.raises(CallError):
            await ask(server, "Execute", SHORT_S)
        (start,) = [task for task in asyncio.all_tasks() - before if "Admission._start" in str(task.get_coro())]
        engine.may_start.set()
        await asyncio.wait({start})
        del start
        # One turn of the loop for the call-backs of the task, which then may be collected.
        await asyncio.sleep(0)
        gc.collect()
    assert not caplog.records
    (line,) = [line for line in logs if line["event"] == "start_failed_without_caller"]
    assert line["error"] == "FlowError: Redis is away"
