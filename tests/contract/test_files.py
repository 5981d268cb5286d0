"""Files in requests: stored under the run before it starts, gone where it does not."""

from __future__ import annotations

import asyncio
import hashlib

import pytest
from tests.contract.memory_engine import MemoryEngine
from tests.contract.serving import CallError, Server

from promptflow_core.errors import FlowError, Reason
from promptflow_core.values import FileRef

PAGE = b"the bytes of a page"
HASH = hashlib.sha256(PAGE).hexdigest()


async def test_a_file_reaches_the_run_by_reference(server: Server, engine: MemoryEngine) -> None:
    document = {"content": PAGE, "name": "page.png", "content_type": "image/png"}
    request = server.contract.execute_request(text="ok", document=document, pages=[{"content": PAGE}], execution_mode=2)
    execution = await server.call("Execute", request)
    run_id = execution.execution_id
    inputs = engine.runs[run_id].record.inputs
    assert inputs["document"] == FileRef(f"{run_id}/{HASH}", "image/png", "page.png", len(PAGE))
    assert inputs["pages"] == [FileRef(f"{run_id}/{HASH}", "", "", len(PAGE))]
    assert [path.read_bytes() for path in server.stored_files()] == [PAGE]
    answered = execution.result.inspect.document
    assert (answered.file_id, answered.content_type) == (f"{run_id}/{HASH}", "image/png")


async def test_the_files_of_a_run_that_does_not_start_are_gone(server: Server, engine: MemoryEngine) -> None:
    engine.refusal = FlowError(Reason.STORE_UNAVAILABLE, "Redis is away")
    with pytest.raises(CallError):
        await server.call("Execute", server.contract.execute_request(text="ok", document={"content": PAGE}))
    assert not server.stored_files()


async def test_a_request_id_that_comes_again_with_other_inputs_leaves_the_files_of_its_run(
    server: Server, engine: MemoryEngine
) -> None:
    options = {"request_id": "r1"}
    first = server.contract.execute_request(text="ok", document={"content": PAGE}, options=options)
    await server.call("Execute", first)
    with pytest.raises(CallError) as caught:
        await server.call(
            "Execute", server.contract.execute_request(text="no", document={"content": PAGE}, options=options)
        )
    assert caught.value.info.reason == "REQUEST_ID_REUSED"
    assert [path.read_bytes() for path in server.stored_files()] == [PAGE]


async def test_a_request_that_comes_again_starts_no_second_run_and_stores_nothing_twice(
    server: Server, engine: MemoryEngine
) -> None:
    request = server.contract.execute_request(text="ok", document={"content": PAGE}, options={"request_id": "r1"})
    first, second = await server.call("Execute", request), await server.call("Execute", request)
    assert first.execution_id == second.execution_id
    assert len(server.stored_files()) == 1


async def test_a_caller_that_leaves_during_the_start_leaves_nothing_half_done(
    server: Server, engine: MemoryEngine
) -> None:
    engine.may_start.clear()
    request = server.contract.execute_request(text="ok", document={"content": PAGE})
    call = asyncio.create_task(server.call("Execute", request))
    await engine.starting.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await server.call("GetInfo", server.contract.get_info_request())  # the server has seen the caller leave
    engine.may_start.set()
    async with asyncio.timeout(5):
        await engine.started.wait()
    (run_id,) = engine.runs
    assert [path.parent.name for path in server.stored_files()] == [run_id]
