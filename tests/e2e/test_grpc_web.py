"""grpc-web as a browser sends it: binary frames over HTTP/1.1, trailers as the last frame."""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]
from tests.e2e.system import System

from promptflow_api.flows.conditional_processing.v1 import conditional_processing_pb2
from promptflow_api.flows.sentiment_analysis.v1 import sentiment_analysis_pb2

pytestmark = [pytest.mark.processes, pytest.mark.timeout(60)]

ORIGIN = "http://localhost:3000"
TRAILERS = 0x80
# The generated stubs type neither enum values nor nested fields.
CONDITIONAL: Any = conditional_processing_pb2
SENTIMENT: Any = sentiment_analysis_pb2


def call(system: System, messages: Any, method: str, request: Message) -> httpx.Response:
    """One call, as a page of another origin makes it."""
    service = messages.DESCRIPTOR.services_by_name
    (name,) = (descriptor.full_name for descriptor in service.values())
    data = request.SerializeToString()
    headers = {"content-type": "application/grpc-web+proto", "x-grpc-web": "1", "origin": ORIGIN}
    frame = struct.pack(">BI", 0, len(data)) + data
    return httpx.post(f"{system.http}/{name}/{method}", content=frame, headers=headers, timeout=30)


def frames(body: bytes) -> Iterator[tuple[int, bytes]]:
    """Flag and content of each frame."""
    while body:
        flag, size = struct.unpack_from(">BI", body)
        yield flag, body[5 : 5 + size]
        body = body[5 + size :]


def answer_of(response: httpx.Response) -> tuple[list[bytes], dict[str, str]]:
    """The messages, and the trailers; an answer without messages has them as headers."""
    assert (response.status_code, response.headers["content-type"]) == (200, "application/grpc-web+proto")
    assert response.headers["access-control-allow-origin"] == ORIGIN
    found = list(frames(response.content))
    if not found:
        return [], dict(response.headers)
    *messages, (last, trailers) = found
    assert ([flag for flag, _ in messages], last) == ([0] * len(messages), TRAILERS)
    pairs = (line.split(":", 1) for line in trailers.decode().splitlines())
    return [data for _, data in messages], {key: value.strip() for key, value in pairs}


def test_a_unary_call_answers_one_message_and_its_trailers(system: System) -> None:
    request = CONDITIONAL.ExecuteRequest(text="urgent!", execution_mode="SYNC")
    response = call(system, CONDITIONAL, "Execute", request)
    (data,), trailers = answer_of(response)
    execution = CONDITIONAL.Execution.FromString(data)
    assert trailers["grpc-status"] == "0"
    assert execution.result.HasField("path_a")
    assert response.headers["x-execution-id"] == execution.execution_id


def test_a_server_stream_comes_frame_by_frame_up_to_done(system: System) -> None:
    messages, trailers = answer_of(
        call(system, SENTIMENT, "ExecuteStream", SENTIMENT.ExecuteRequest(text="I love this!"))
    )
    events = [SENTIMENT.Event.FromString(data) for data in messages]
    stored = [event.sequence for event in events if event.sequence]
    assert trailers["grpc-status"] == "0"
    assert stored == list(range(1, len(stored) + 1))
    assert (events[0].WhichOneof("event"), events[-1].WhichOneof("event")) == ("accepted", "done")
    assert events[-1].done.result.analyze.label == "positive"


def test_an_error_keeps_its_details(system: System) -> None:
    messages, trailers = answer_of(call(system, SENTIMENT, "Execute", SENTIMENT.ExecuteRequest()))
    assert (messages, trailers["grpc-status"]) == ([], "3")
    status = status_pb2.Status.FromString(decoded(trailers["grpc-status-details-bin"]))
    info = error_details_pb2.ErrorInfo()
    assert any(detail.Unpack(info) for detail in status.details)
    assert info.reason == "INVALID_INPUT"


def decoded(text: str) -> bytes:
    """A binary header, whose base64 may lack its padding."""
    return base64.b64decode(text + "=" * (-len(text) % 4))
