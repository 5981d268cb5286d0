"""envoy.yaml as it is shipped, before a real grpc.aio server."""

from __future__ import annotations

import asyncio
import struct
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from tests.unit.server.gateway.echo_server import SERVICE, RunningGateway, compile_echo, until_it_serves

from promptflow_server.gateway.twins import with_twins
from promptflow_server.gateway.xds import write_transcoder

EXECUTE, STREAM, STATUS = "/api/v1/echo/execute", "/api/v1/echo/execute/stream", "/api/v1/echo/status/x1"
JSON = {"content-type": "application/json"}
EDGE_ERROR = "type.googleapis.com/google.rpc.ErrorInfo"


async def test_rest_reaches_unary_methods_and_twins(gateway: RunningGateway) -> None:
    status = await gateway.client.get(STATUS)
    execution = await gateway.client.post(EXECUTE, content=b'{"text": "hi"}', headers=JSON)
    assert status.json() == {"execution_id": "x1", "size_bytes": "0"}
    assert execution.json() == {"execution_id": "x", "text": "application/json", "size_bytes": "14"}
    assert gateway.echo.calls == ["GetStatus", "ExecuteHttp"]


@pytest.mark.parametrize("accept", ["text/event-stream", "application/x-ndjson", "application/json"])
async def test_a_stream_arrives_while_it_is_made(gateway: RunningGateway, accept: str) -> None:
    headers = {**JSON, "accept": accept}
    async with gateway.client.stream("POST", STREAM, content=b"{}", headers=headers) as answer:
        assert answer.headers["content-type"] == accept
        chunks = answer.aiter_raw()
        assert await anext(chunks) == b"first\n\n"
        # The server writes no more until it is told to: what came did not wait for the end.
        gateway.echo.go_on.set()
        assert b"".join([chunk async for chunk in chunks]) == b"last\n\n"


async def test_a_caller_that_leaves_cancels_the_stream_on_the_server(gateway: RunningGateway) -> None:
    async with gateway.client.stream("POST", STREAM, content=b"{}", headers={**JSON, "accept": "x"}) as answer:
        await anext(answer.aiter_raw())
    async with asyncio.timeout(5):
        # With such grace the server would wait for an open call longer than we do.
        await gateway.server.stop(60)


async def test_a_multipart_body_streams_past_the_limit_of_json_bodies(gateway: RunningGateway) -> None:
    size = 9 << 20
    answer = await gateway.client.post(EXECUTE, files={"document": ("page.bin", bytes(size))})
    assert answer.status_code == 200
    assert int(answer.json()["size_bytes"]) > size
    assert answer.json()["text"].startswith("multipart/form-data; boundary=")


@pytest.mark.parametrize(
    ("method", "path", "body", "http", "code", "reason", "says"),
    [
        ("GET", "/api/v1/nothing", b"", 404, 5, "grpc_json_transcode_failure", "Could not resolve"),
        ("DELETE", EXECUTE, b"", 405, 12, "direct_response", "GET or POST"),
        ("GET", f"{STATUS}?nonsense=1", b"", 400, 3, "grpc_json_transcode_failure", "nonsense"),
        ("POST", EXECUTE, bytes(9 << 20), 413, 8, "request_payload_too_large", "multipart/form-data"),
    ],
)
async def test_envoys_own_errors_are_status_json(
    gateway: RunningGateway, method: str, path: str, body: bytes, http: int, code: int, reason: str, says: str
) -> None:
    answer = await gateway.client.request(method, path, content=body, headers=JSON if body else None)
    assert_edge_error(answer, http, code, reason, says)
    assert gateway.echo.calls == []


async def test_without_a_server_the_answer_is_unavailable_at_once(gateway: RunningGateway) -> None:
    await gateway.server.stop(None)
    for answer in (await gateway.client.get(STATUS), await gateway.client.post(EXECUTE, content=b"{}", headers=JSON)):
        assert_edge_error(answer, 503, 14, "", "")
    refused = await gateway.client.post(
        f"/{SERVICE}/Execute", content=b"", headers={"content-type": "application/grpc"}
    )
    assert (refused.headers["grpc-status"], refused.content) == ("14", b"")


def assert_edge_error(answer: httpx.Response, http: int, code: int, reason: str, says: str) -> None:
    assert (answer.status_code, answer.headers["content-type"]) == (http, "application/json")
    status: dict[str, Any] = answer.json()
    assert status["code"] == code
    assert says in status["message"]
    (detail,) = status["details"]
    assert (detail["@type"], detail["domain"]) == (EDGE_ERROR, "edge.promptflow")
    assert reason in detail["reason"]
    assert detail["metadata"]["request_id"] == answer.headers["x-request-id"]


async def test_a_malformed_request_line_is_answered_in_json(gateway: RunningGateway) -> None:
    url = httpx.URL(gateway.url)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(b"NONSENSE\r\n\r\n")
    answer = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    assert answer.startswith(b"HTTP/1.1 400 Bad Request")
    assert b'"code":3' in answer


async def test_a_post_that_a_server_saw_is_never_sent_twice(gateway: RunningGateway) -> None:
    gateway.echo.refuses = True
    answer = await gateway.client.post(EXECUTE, content=b"{}", headers=JSON)
    assert (answer.status_code, answer.json()["message"]) == (503, "no workers for the queue `ocr`")
    assert gateway.echo.calls == ["ExecuteHttp"]


async def test_a_get_goes_on_to_the_next_try_when_a_server_is_unavailable(gateway: RunningGateway) -> None:
    gateway.echo.refuses = True
    assert (await gateway.client.get(STATUS)).status_code == 200
    assert gateway.echo.calls == ["GetStatus", "GetStatus"]


async def test_grpc_passes_through_the_same_port(gateway: RunningGateway) -> None:
    async with grpc.aio.insecure_channel(gateway.url.removeprefix("http://")) as opened:
        channel: Any = opened
        answer = await channel.unary_unary(f"/{SERVICE}/Execute")(b"\x0a\x02hi", timeout=5)
        events = [event async for event in channel.unary_stream(f"/{SERVICE}/ExecuteStream")(b"", timeout=5)]
    assert b"hi" in answer
    assert events == [b"\x08\x01", b"\x08\x02"]


async def test_grpc_web_answers_a_message_and_its_trailers(gateway: RunningGateway) -> None:
    message = b"\x0a\x02hi"
    answer = await gateway.client.post(
        f"/{SERVICE}/Execute",
        content=struct.pack(">BI", 0, len(message)) + message,
        headers={"content-type": "application/grpc-web+proto", "x-grpc-web": "1"},
    )
    assert answer.headers["content-type"] == "application/grpc-web+proto"
    kind, size = struct.unpack(">BI", answer.content[:5])
    assert (kind, b"hi" in answer.content[5 : 5 + size]) == (0, True)
    trailers = answer.content[5 + size :]
    assert (trailers[0], b"grpc-status:0" in trailers) == (0x80, True)


@pytest.mark.parametrize(
    ("origin", "is_allowed"),
    [
        ("http://localhost:3000", True),
        ("https://127.0.0.1", True),
        ("https://evil.example", False),
        ("http://localhost.evil.example", False),
    ],
)
async def test_preflight_allows_local_pages_alone(gateway: RunningGateway, origin: str, is_allowed: bool) -> None:
    headers = {
        "origin": origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "content-type,x-grpc-web",
    }
    answer = await gateway.client.options(STREAM, headers=headers)
    assert answer.headers.get("access-control-allow-origin") == (origin if is_allowed else None)
    if is_allowed:
        assert answer.status_code == 200
        assert {"content-type", "x-grpc-web", "last-event-id", "idempotency-key"} <= set(
            answer.headers["access-control-allow-headers"].split(",")
        )


async def test_a_page_may_read_which_run_it_started_and_how_a_call_ended(gateway: RunningGateway) -> None:
    headers = {**JSON, "origin": "http://localhost:3000"}
    exposed = (await gateway.client.post(EXECUTE, content=b"{}", headers=headers)).headers
    assert {"x-execution-id", "x-request-id", "grpc-status", "grpc-message", "grpc-status-details-bin"} <= set(
        exposed["access-control-expose-headers"].split(",")
    )


async def test_every_answer_carries_the_security_headers(gateway: RunningGateway) -> None:
    for path in (STATUS, "/nothing"):
        headers = (await gateway.client.get(path)).headers
        assert (headers["x-content-type-options"], headers["cache-control"]) == ("nosniff", "no-store")
        assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert headers["referrer-policy"] == "no-referrer"


async def test_the_metrics_port_shows_two_paths_and_no_more_of_admin(gateway: RunningGateway) -> None:
    async with httpx.AsyncClient(base_url=gateway.metrics) as client:
        assert "envoy_http_downstream_rq_total" in (await client.get("/metrics")).text
        assert (await client.get("/ready")).text == "LIVE\n"
        assert (await client.get("/config_dump")).status_code == 404


async def test_a_new_contract_is_served_without_a_restart_and_cuts_no_stream(
    gateway: RunningGateway, tmp_path: Path
) -> None:
    renamed = compile_echo().replace(b"/api/v1/echo/status/", b"/api/v1/echo/stotus/")
    async with gateway.client.stream("POST", STREAM, content=b"{}", headers={**JSON, "accept": "x"}) as answer:
        chunks = answer.aiter_raw()
        await anext(chunks)
        await asyncio.to_thread(write_transcoder, with_twins(renamed), tmp_path)
        await until_it_serves(gateway.client, "/api/v1/echo/stotus/x1")
        gateway.echo.go_on.set()
        assert b"".join([chunk async for chunk in chunks]) == b"last\n\n"
    assert (await gateway.client.get(STATUS)).status_code == 404
