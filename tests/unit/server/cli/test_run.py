"""A run through a gateway that answers as it is told to."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from tests.unit.server.cli.test_tour import ROOT, right_result

from promptflow_server.cli.failures import CommandError
from promptflow_server.cli.run import follow_run, result_of
from promptflow_server.cli.tour import give_tour

Event = dict[str, Any]
STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"


def ended(status: str = "COMPLETED", **fields: Any) -> Event:
    return {"execution_id": "x1", "done": {"status": status, **fields}}


def sse(*events: Event) -> bytes:
    return STREAM + b"".join(b"event: x\ndata: " + json.dumps(event).encode() + b"\n\n" for event in events)


def refusal(status: str, body: bytes) -> bytes:
    return f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n".encode() + body


@asynccontextmanager
async def gateway(answer: bytes, requests: list[bytes] | None = None) -> AsyncIterator[str]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        (length,) = [int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length")]
        body = await reader.readexactly(length)
        if requests is not None:
            requests.append(head + body)
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def follow(answer: bytes, steps: Sequence[str] = ()) -> Any:
    async with gateway(answer) as url:
        state = await follow_run(url, "/api/v1/echo", [("text", (None, b"hi"))], Console(file=io.StringIO()), steps)
        return result_of(state)


async def test_a_run_is_one_multipart_post_that_asks_for_events() -> None:
    requests: list[bytes] = []
    parts = [("text", (None, b"hi")), ("page", ("a.png", b"\x89PNG"))]
    async with gateway(sse(ended(result={"label": "positive"})), requests) as url:
        state = await follow_run(url, "/api/v1/echo", parts, Console(file=io.StringIO()))
    assert result_of(state) == {"label": "positive"}
    (request,) = requests
    assert request.startswith(b"POST /api/v1/echo/execute/stream HTTP/1.1\r\n")
    assert b"accept: text/event-stream\r\n" in request.lower()
    assert b'name="text"\r\n\r\nhi\r\n' in request
    assert b'name="page"; filename="a.png"' in request


VIOLATION = {"field": "txt", "description": "no such input; did you mean `text`?"}
STATUS = {"code": 3, "message": "the inputs are not valid", "details": [{"field_violations": [VIOLATION]}]}


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (refusal("400 Bad Request", json.dumps(STATUS).encode()), "not valid (HTTP 400)\n  txt: no such input; did"),
        (refusal("502 Bad Gateway", b"<html>"), "HTTP 502: <html>"),
        (refusal("500 Oops", b"[]"), "HTTP 500: []"),
        (sse(), "the stream ended before the run (not yet accepted) did"),
        (sse({"execution_id": "x1", "accepted": {}}), "the stream ended before the run x1 did"),
        (sse(ended("FAILED", error={"message": "no model"})), "the run x1 ended as FAILED: no model"),
        (sse(ended("CANCELLED")), "the run x1 ended as CANCELLED: no reason given"),
        (b"", "no answer from `http://127.0.0.1:"),
    ],
    ids=["violations", "no JSON", "other JSON", "nothing", "cut off", "failed", "cancelled", "hung up"],
)
async def test_what_is_no_result_is_told(answer: bytes, says: str) -> None:
    with pytest.raises(CommandError) as caught:
        await follow(answer)
    assert says in str(caught.value)


async def tour(result: Event) -> str:
    output = io.StringIO()
    async with gateway(sse(ended(result=result))) as url:
        await give_tour(url, ROOT, ["ocr"], Console(file=output))
    return output.getvalue()


async def test_the_tour_prints_each_sentence_and_the_mood() -> None:
    shown = await tour(right_result())
    assert "  negative 0.99  The chair, I am sorry to say, is a disaster.\n" in shown
    assert "mood: mixed   mean OCR confidence: 0.95   sentences: 2\n" in shown
    assert shown.endswith("the result is what the page says\n")


async def test_the_tour_fails_where_the_result_is_wrong() -> None:
    with pytest.raises(CommandError, match="the result of the demo is wrong: the mood is negative, not mixed"):
        await tour({**right_result(), "mood": "negative"})


async def test_the_tour_needs_a_file_that_is_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await give_tour("http://127.0.0.1:1", tmp_path, [], Console(file=io.StringIO()))
