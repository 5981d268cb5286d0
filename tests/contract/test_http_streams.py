"""ExecuteStreamHttp and WatchHttp: SSE, NDJSON and arrays, as they are on the wire."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest
from tests.contract.memory_engine import MemoryEngine, complete, stall
from tests.contract.serving import CallError, Server, serving

from promptflow_codegen.bundle import Bundle
from promptflow_core.records import EventKind, ExecutionStatus

BODY = b'{"text": "hello"}'
SSE = "text/event-stream"
KINDS = ["accepted", "started", "step_started", "step_completed", "done"]


async def post(server: Server, accept: str, **headers: str) -> tuple[str, str]:
    metadata = {"accept": accept} | {name.replace("_", "-"): value for name, value in headers.items()}
    bodies = [body async for body in server.post_stream([BODY], "application/json", metadata)]
    return bodies[0].content_type, b"".join(body.data for body in bodies).decode()


async def watch(server: Server, execution_id: str, after: int = 0, **headers: str) -> str:
    metadata = {name.replace("_", "-"): value for name, value in headers.items()}
    request = server.contract.watch_request(execution_id=execution_id, after_sequence=after)
    return b"".join([body.data async for body in server.watch_http(request, metadata)]).decode()


def sse_events(text: str) -> list[dict[str, str]]:
    return [dict(line.split(": ", 1) for line in block.split("\n")) for block in text.strip().split("\n\n")]


async def test_sse_is_what_event_source_reads(server: Server) -> None:
    content_type, text = await post(server, SSE)
    assert content_type == SSE
    assert text.startswith("retry: 1000\n\n")
    events = sse_events(text)[1:]
    assert [(event["id"], event["event"]) for event in events] == [(str(n), k) for n, k in enumerate(KINDS, 1)]
    done = json.loads(events[-1]["data"])
    assert done["done"]["status"] == "COMPLETED"
    assert done["done"]["result"]["inspect"] == {"text": "hello", "count": "7", "ratio": 0.0}
    assert server.sent_headers["cache-control"] == "no-store, no-transform"
    assert server.sent_headers["x-execution-id"] == done["execution_id"]


async def test_ndjson_is_an_event_a_line(server: Server) -> None:
    content_type, text = await post(server, "application/x-ndjson")
    assert content_type == "application/x-ndjson"
    events = [json.loads(line) for line in text.splitlines()]
    assert [event["sequence"] for event in events] == [1, 2, 3, 4, 5]
    assert list(events[-1])[-1] == "done"


@pytest.mark.parametrize("accept", ["application/json", "*/*", "", "text/html, image/png;q=0.9"])
async def test_anything_else_is_one_json_array(server: Server, accept: str) -> None:
    content_type, text = await post(server, accept)
    assert content_type == "application/json"
    assert [event["sequence"] for event in json.loads(text)] == [1, 2, 3, 4, 5]


async def test_a_step_that_is_not_stored_has_no_id(server: Server, engine: MemoryEngine) -> None:
    async def told(engine: MemoryEngine, execution_id: str) -> None:
        engine.tell(execution_id, EventKind.STEP_PROGRESS, step="inspect", percentage=50.0)
        engine.end(execution_id, ExecutionStatus.COMPLETED, result={})

    engine.script = told
    _, text = await post(server, SSE)
    (progress,) = [event for event in sse_events(text) if event.get("event") == "step_progress"]
    assert "id" not in progress
    assert json.loads(progress["data"])["step_progress"]["percentage"] == 50.0


async def test_line_breaks_in_texts_do_not_break_the_framing(server: Server) -> None:
    body = json.dumps({"text": "a\n\ndata: b\r\u2028c"}).encode()
    bodies = [chunk async for chunk in server.post_stream([body], "application/json", {"accept": SSE})]
    text = b"".join(chunk.data for chunk in bodies).decode()
    done = sse_events(text)[-1]
    assert json.loads(done["data"])["done"]["result"]["inspect"]["text"] == "a\n\ndata: b\r\u2028c"


async def test_events_leave_as_they_happen(server: Server, engine: MemoryEngine) -> None:
    engine.script = stall
    async with aclosing(server.post_stream([BODY], "application/json", {"accept": SSE})) as bodies:
        seen = [(await anext(bodies)).data for _ in range(3)]
        assert [data.partition(b"\n")[0] for data in seen] == [b"retry: 1000", b"id: 1", b"id: 2"]
        execution_id = server.sent_headers["x-execution-id"]
        engine.emit(execution_id, EventKind.STEP_STARTED, step="inspect", attempt=1)
        assert (await anext(bodies)).data.startswith(b"id: 3\nevent: step_started\n")
    await engine.watched_by(0)


@pytest.fixture
async def beating(everything: Bundle, engine: MemoryEngine, tmp_path: Path) -> AsyncIterator[Server]:
    engine.script = stall
    async with serving(everything, engine, tmp_path / "files", heartbeat_s=0.02) as server:
        yield server


@pytest.mark.parametrize(("accept", "beat"), [(SSE, b": heartbeat\n\n"), ("application/x-ndjson", b'"heartbeat": {}')])
async def test_a_silent_stream_beats(beating: Server, engine: MemoryEngine, accept: str, beat: bytes) -> None:
    async with aclosing(beating.post_stream([BODY], "application/json", {"accept": accept})) as bodies:
        seen = [(await anext(bodies)).data for _ in range(4)]
    assert beat in seen[3]


async def finished(server: Server) -> str:
    execution = await server.post([b'{"text": "hello", "execution_mode": "SYNC"}'], "application/json")
    execution_id: str = execution.execution_id
    return execution_id


@pytest.mark.parametrize(
    ("after", "last_event_id", "first"),
    [(0, "", "1"), (0, "3", "4"), (2, "", "3"), (2, "3", "4"), (4, "1", "5"), (5, "", "5")],
)
async def test_event_source_goes_on_where_it_was_cut(
    server: Server, after: int, last_event_id: str, first: str
) -> None:
    execution_id = await finished(server)
    text = await watch(server, execution_id, after, accept=SSE, last_event_id=last_event_id)
    assert sse_events(text)[1]["id"] == first


@pytest.mark.parametrize("last_event_id", ["5", "6", "9999999999"])
async def test_event_source_is_stopped_after_the_end(server: Server, last_event_id: str) -> None:
    execution_id = await finished(server)
    with pytest.raises(CallError) as caught:
        await watch(server, execution_id, accept=SSE, last_event_id=last_event_id)
    assert caught.value.info.reason == "SEQUENCE_OUT_OF_RANGE"
    assert "x-execution-id" not in caught.value.headers


async def test_event_source_that_has_seen_all_of_a_running_run_waits_for_more(
    server: Server, engine: MemoryEngine
) -> None:
    engine.script = stall
    execution = await server.post([BODY], "application/json")
    request = server.contract.watch_request(execution_id=execution.execution_id)
    await engine.watched_by(0)
    async with aclosing(server.watch_http(request, {"accept": SSE, "last-event-id": "2"})) as bodies:
        assert (await anext(bodies)).data == b"retry: 1000\n\n"
        await engine.watched_by(1)
        await complete(engine, execution.execution_id)
        assert (await anext(bodies)).data.startswith(b"id: 3\n")


@pytest.mark.parametrize("last_event_id", ["x", "-1", "1.5", "99999999999"])
async def test_a_last_event_id_that_is_none_is_told(server: Server, last_event_id: str) -> None:
    execution_id = await finished(server)
    with pytest.raises(CallError) as caught:
        await watch(server, execution_id, accept=SSE, last_event_id=last_event_id)
    assert list(caught.value.violations) == ["last-event-id"]


async def test_a_stream_that_is_posted_again_under_its_request_id_goes_on(server: Server, engine: MemoryEngine) -> None:
    body = b'{"text": "hello", "options": {"request_id": "r1"}}'
    for last_event_id, ids in (("", ["1", "2", "3", "4", "5"]), ("3", ["4", "5"])):
        headers = {"accept": SSE, "last-event-id": last_event_id}
        bodies = [chunk.data async for chunk in server.post_stream([body], "application/json", headers)]
        assert [event["id"] for event in sse_events(b"".join(bodies).decode())[1:]] == ids
    assert len(engine.runs) == 1


async def test_a_stream_that_cannot_begin_is_an_error_and_not_a_stream(server: Server, engine: MemoryEngine) -> None:
    with pytest.raises(CallError) as caught:
        _ = [body async for body in server.post_stream([b"{}"], "application/json", {"accept": SSE})]
    assert caught.value.violations == {"text": "value is required"}
    assert not engine.runs
