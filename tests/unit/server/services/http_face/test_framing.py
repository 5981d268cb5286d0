from __future__ import annotations

import json

import pytest

from promptflow_server.services.contracts import FlowContract
from promptflow_server.services.http_face.framing import framing_for

SSE, NDJSON, ARRAY = "text/event-stream", "application/x-ndjson", "application/json"


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", ARRAY),
        ("*/*", ARRAY),
        (SSE, SSE),
        ("Text/Event-Stream", SSE),
        ("application/x-ndjson", NDJSON),
        ("application/ndjson", NDJSON),
        ("application/jsonl", NDJSON),
        ("text/html, text/event-stream;q=0.5, */*;q=0.1", SSE),
        ("application/json;q=0.5, application/x-ndjson", NDJSON),
        ("application/json;q=0.9, text/event-stream;q=0.8", ARRAY),
        ("text/event-stream;q=0, application/json", ARRAY),
        ("text/event-stream;q=0", ARRAY),
        ("text/event-stream;q=1., application/json", SSE),
        *(
            (f"text/event-stream;q={quality}", ARRAY)
            for quality in ("x", "", ".", "²", "٣", "-1", "nan", "inf", "1e9", "1_0")
        ),
        (";;,,", ARRAY),
    ],
)
def test_accept_picks_the_framing(contract: FlowContract, accept: str, content_type: str) -> None:
    assert framing_for(accept, contract.pool).content_type == content_type


def test_an_array_without_events_is_one_still(contract: FlowContract) -> None:
    framing = framing_for(ARRAY, contract.pool)
    assert framing.begin() + framing.end() == b"[]\n"


def test_an_event_is_one_line_of_data(contract: FlowContract) -> None:
    event = contract.event(sequence=3)
    event.step_skipped.reason = "a\nb"
    head, _, data = framing_for(SSE, contract.pool).frame(event).partition(b"data: ")
    assert head == b"id: 3\nevent: step_skipped\n"
    assert data.endswith(b"}\n\n")
    assert json.loads(data)["step_skipped"] == {"step": "", "reason": "a\nb"}
    assert data.count(b"\n") == 2
