"""What is stored reads back as what was written."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from promptflow_core.errors import ErrorRecord, Reason, Violation
from promptflow_core.records import EventKind, EventRecord, Progress, StepRecord, StepStatus
from promptflow_core.values import FileRef
from promptflow_server.store.records import decode_record, encode_record

OUTPUT = {
    "file": FileRef("a/b", "image/png", "page.png", 3),
    "files": [{"one": FileRef("c/d")}],
    "moment": datetime(2026, 1, 2, tzinfo=UTC),
    "wait": timedelta(milliseconds=1500),
    "bytes": b"\x00\xff",
    "zero": 0,
    "empty": "",
    "nothing": None,
}
ERROR = ErrorRecord(Reason.INTERNAL, "why", {"step": "a"}, (Violation("a.b", "is odd"),), 20)


@pytest.mark.parametrize(
    "event",
    [
        EventRecord("x", 1, 2, EventKind.ACCEPTED),
        EventRecord("x", 2, 2, EventKind.STEP_COMPLETED, progress=Progress(33.3, "a", ("a", "b")), output=OUTPUT),
        EventRecord("x", 3, 2, EventKind.STEP_FAILED, step="a", item=0, attempt=2, error=ERROR),
        EventRecord("x", 0, 2, EventKind.STEP_PROGRESS, percentage=50.0, message="half", step="a"),
        EventRecord("x", 4, 2, EventKind.STEP_COMPLETED, output=0),
    ],
)
def test_events(event: EventRecord) -> None:
    assert decode_record(encode_record(event), EventRecord) == event


@pytest.mark.parametrize(
    "step",
    [
        StepRecord("a"),
        StepRecord("a/0", StepStatus.COMPLETED, 3, 1, 2, 0, "worker-1", OUTPUT),
        StepRecord("a", StepStatus.FAILED, error=ERROR, items_total=0),
    ],
)
def test_steps(step: StepRecord) -> None:
    assert decode_record(encode_record(step), StepRecord) == step
