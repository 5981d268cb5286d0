"""Streams as their readers see them: in order, without gaps, while things happen, and again afterwards."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest
from tests.e2e.system import System

pytestmark = [pytest.mark.processes, pytest.mark.timeout(60)]

NAPS = {"seconds": 0.8, "note": "stream"}
FORMATS = {"text/event-stream": "sse", "application/x-ndjson": "ndjson"}


@dataclass(frozen=True, slots=True)
class Arrived:
    """One event and when it came, in seconds from the request."""

    at_s: float
    kind: str
    sequence: int
    event: dict[str, object]


def read_stream(response: httpx.Response, start: float) -> Iterator[Arrived]:
    """Events of an SSE or NDJSON answer as they arrive."""
    for line in response.iter_lines():
        text = line.removeprefix("data: ") if line.startswith("data: ") else line
        if not text.startswith("{"):
            continue
        event = json.loads(text)
        kinds = set(event) - {"execution_id", "sequence", "time", "progress"}
        (kind,) = kinds
        yield Arrived(time.monotonic() - start, kind, int(event["sequence"]), event)


def execute_stream(system: System, accept: str, inputs: dict[str, object]) -> list[Arrived]:
    """Run naps and collect its events."""
    start = time.monotonic()
    url = f"{system.http}/api/v1/naps/execute/stream"
    with httpx.stream("POST", url, json=inputs, headers={"accept": accept}, timeout=20) as response:
        assert response.status_code == 200, response.read()
        assert response.headers["content-type"].startswith(accept)
        return list(read_stream(response, start))


@pytest.mark.parametrize("accept", FORMATS)
def test_events_arrive_while_the_run_goes_on_and_in_order(system: System, accept: str) -> None:
    events = execute_stream(system, accept, dict(NAPS))
    stored = [event.sequence for event in events if event.sequence > 0]
    assert stored == list(range(1, len(stored) + 1))
    assert events[0].kind == "accepted"
    assert [event.kind for event in events].count("done") == 1
    assert events[-1].kind == "done"
    started = next(event for event in events if event.kind == "step_started")
    assert events[-1].at_s - started.at_s > 0.5, "the stream was held back until the end"
    assert "step_progress" in {event.kind for event in events}
    percentages = [event.event["progress"]["percentage"] for event in events if "progress" in event.event]  # type: ignore[index]
    assert percentages == sorted(percentages)
    assert percentages[-1] == 100


def test_two_steps_without_needs_run_at_once(system: System) -> None:
    events = execute_stream(system, "application/x-ndjson", dict(NAPS))
    kinds = [event.kind for event in events if event.kind in ("step_started", "step_completed")]
    assert kinds[:2] == ["step_started", "step_started"]


def test_sse_lines_carry_id_event_and_data(system: System) -> None:
    url = f"{system.http}/api/v1/naps/execute/stream"
    headers = {"accept": "text/event-stream"}
    answer = httpx.post(url, json={**NAPS, "seconds": 0.0}, headers=headers, timeout=20)
    blocks = [block.splitlines() for block in answer.text.strip().split("\n\n")]
    named = [block for block in blocks if any(line.startswith("event: ") for line in block)]
    assert [line for line in named[0] if not line.startswith("data: ")][-2:] == ["id: 1", "event: accepted"]
    assert "event: done" in named[-1]


def test_a_run_is_watched_after_it_ended(system: System) -> None:
    accepted = httpx.post(f"{system.http}/api/v1/naps/execute", json={**NAPS, "seconds": 0.05}, timeout=10).json()
    assert accepted["status"] == "QUEUED"
    execution_id = accepted["execution_id"]
    url = f"{system.http}/api/v1/naps/watch/{execution_id}"
    headers = {"accept": "application/x-ndjson"}
    with httpx.stream("GET", url, headers=headers, timeout=20) as response:
        first = list(read_stream(response, 0))
    with httpx.stream("GET", url, headers=headers, timeout=20) as response:
        again = list(read_stream(response, 0))
    assert [event.event for event in again] == [event.event for event in first if event.sequence > 0]
    with httpx.stream("GET", f"{url}?after_sequence=3", headers=headers, timeout=20) as response:
        rest = list(read_stream(response, 0))
    assert [event.sequence for event in rest] == [event.sequence for event in again][3:]
    done = httpx.get(f"{system.http}/api/v1/naps/status/{execution_id}", timeout=10).json()
    assert done["status"] == "COMPLETED"
    assert done["result"]["both"]["notes"] == ["left stream", "right stream"]


def test_an_event_source_that_was_cut_goes_on_where_it_stopped(system: System) -> None:
    accepted = httpx.post(f"{system.http}/api/v1/naps/execute", json=NAPS, timeout=10).json()
    url = f"{system.http}/api/v1/naps/watch/{accepted['execution_id']}"
    headers = {"accept": "text/event-stream"}
    seen: list[int] = []
    with httpx.stream("GET", url, headers=headers, timeout=20) as response:
        for event in read_stream(response, 0):
            if event.sequence > 0:
                seen.append(event.sequence)
            if len(seen) == 3:
                break
    with httpx.stream("GET", url, headers={**headers, "last-event-id": str(seen[-1])}, timeout=20) as response:
        seen += [event.sequence for event in read_stream(response, 0) if event.sequence > 0]
    assert seen == list(range(1, len(seen) + 1))
