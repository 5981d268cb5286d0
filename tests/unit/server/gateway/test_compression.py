"""gzip at the edge: JSON answers on request, streams never held back, bodies handed on."""

from __future__ import annotations

import gzip

import pytest
from tests.unit.server.gateway.echo_server import RunningGateway

EXECUTE, STREAM, STATUS = "/api/v1/echo/execute", "/api/v1/echo/execute/stream", "/api/v1/echo/status/"
LONG = "x" * 2_000


@pytest.mark.parametrize(
    ("name", "accepted", "encoding"),
    [(LONG, "gzip", "gzip"), (LONG, "br, gzip;q=0.5", "gzip"), (LONG, "identity", None), ("short", "gzip", None)],
)
async def test_a_large_json_answer_is_packed_for_who_accepts_it(
    gateway: RunningGateway, name: str, accepted: str, encoding: str | None
) -> None:
    answer = await gateway.client.get(STATUS + name, headers={"accept-encoding": accepted})
    assert answer.headers.get("content-encoding") == encoding
    assert answer.json() == {"execution_id": name, "size_bytes": "0"}


@pytest.mark.parametrize("accept", ["text/event-stream", "application/x-ndjson", "application/json"])
async def test_events_are_not_held_back_for_who_accepts_gzip(gateway: RunningGateway, accept: str) -> None:
    headers = {"content-type": "application/json", "accept": accept, "accept-encoding": "gzip"}
    async with gateway.client.stream("POST", STREAM, content=b"{}", headers=headers) as answer:
        assert "content-encoding" not in answer.headers
        chunks = answer.aiter_raw()
        assert await anext(chunks) == b"first\n\n"
        gateway.echo.go_on.set()
        assert b"".join([chunk async for chunk in chunks]) == b"last\n\n"


async def test_a_packed_body_reaches_the_server_as_it_is_with_its_encoding(gateway: RunningGateway) -> None:
    body = gzip.compress(b'{"text": "hi"}')
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    answer = await gateway.client.post(EXECUTE, content=body, headers=headers)
    assert answer.json() == {"execution_id": "x", "text": "application/json", "size_bytes": str(len(body))}
    assert gateway.echo.encodings == ["gzip"]
