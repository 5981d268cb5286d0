"""The idempotency-key header: the request id of REST callers who sent none of their own."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.contract.memory_engine import MemoryEngine
from tests.contract.serving import CallError, Server
from tests.contract.test_http_bodies import FORM, form, part

JSON = "application/json"
BODIES: dict[str, tuple[bytes, str]] = {
    "json": (b'{"text": "hello"}', JSON),
    "form": (form(part("text", "hello"), part("document", b"page", "a.png")), FORM),
}


async def started(server: Server, body: bytes, content_type: str, key: str, *, streamed: bool = False) -> str:
    headers = {"idempotency-key": key}
    if not streamed:
        return str((await server.post([body], content_type, headers)).execution_id)
    async for _ in server.post_stream([body], content_type, headers):
        pass
    return server.sent_headers["x-execution-id"]


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("body", BODIES)
async def test_a_repeated_request_is_one_run(server: Server, engine: MemoryEngine, body: str, streamed: bool) -> None:
    first = await started(server, *BODIES[body], "k1", streamed=streamed)
    assert await started(server, *BODIES[body], '"k1"', streamed=streamed) == first
    assert await started(server, *BODIES[body], "k2", streamed=streamed) != first
    assert len(engine.runs) == 2


async def test_it_is_what_a_request_id_is(server: Server, engine: MemoryEngine) -> None:
    by_header = await started(server, b'{"text": "hello"}', JSON, "r1")
    request: Any = server.contract.execute_request(text="hello", options={"request_id": "r1"})
    assert (await server.call("Execute", request)).execution_id == by_header


async def test_the_request_id_of_the_body_comes_first(server: Server, engine: MemoryEngine) -> None:
    body = json.dumps({"text": "hello", "options": {"request_id": "own"}}).encode()
    assert await started(server, body, JSON, "k1") == await started(server, body, JSON, "k2")


async def test_one_that_is_too_long_is_told(server: Server) -> None:
    with pytest.raises(CallError) as caught:
        await started(server, b'{"text": "hello"}', JSON, "k" * 129)
    assert caught.value.violations == {"options.request_id": "takes at most 128 characters"}


async def test_other_inputs_under_the_same_key_are_refused(server: Server) -> None:
    await started(server, b'{"text": "hello"}', JSON, "k1")
    with pytest.raises(CallError) as caught:
        await started(server, b'{"text": "other"}', JSON, "k1")
    assert caught.value.info.reason == "REQUEST_ID_REUSED"
