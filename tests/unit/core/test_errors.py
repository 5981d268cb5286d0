"""What is recorded of a failure can always be stored and sent, whatever an executor put into it."""

from __future__ import annotations

from typing import Any, cast

import msgspec
import pytest

from promptflow_core.errors import MAX_ENTRIES, MAX_TEXT, ErrorRecord, FlowError, Reason, Violation

BYTES_OF_A_NAME = "scan-\udce9.png"


class MuteError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ZeroDivisionError("division by zero"), (Reason.EXECUTOR_FAILED, "ZeroDivisionError: division by zero")),
        (KeyError("text"), (Reason.EXECUTOR_FAILED, "KeyError: 'text'")),
        (OSError(f"cannot open {BYTES_OF_A_NAME}"), (Reason.EXECUTOR_FAILED, "OSError: cannot open scan-?.png")),
        (MuteError(), (Reason.EXECUTOR_FAILED, "MuteError: <exception str() failed>")),
        (FlowError(Reason.FILE_UNREADABLE, BYTES_OF_A_NAME), (Reason.FILE_UNREADABLE, "scan-?.png")),
        (ValueError("x" * 9000), (Reason.EXECUTOR_FAILED, ("ValueError: " + "x" * 9000)[:MAX_TEXT])),
    ],
    ids=["plain", "key", "surrogate", "without words", "typed", "long"],
)
def test_a_failure_becomes_a_record_that_can_be_stored(error: Exception, expected: tuple[Reason, str]) -> None:
    record = ErrorRecord.of_exception(error)
    assert (record.reason, record.message) == expected
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(record), type=ErrorRecord) == record


def test_metadata_and_violations_are_cleaned_too_and_the_rest_stays() -> None:
    metadata = cast("Any", {"page": 2, BYTES_OF_A_NAME: BYTES_OF_A_NAME, "long": "x" * 9000})
    violations = (Violation("config.\udcff", "is \udcff"),)
    error = FlowError(Reason.QUEUE_FULL, "later", metadata=metadata, violations=violations, retry_after_ms=7)
    record = ErrorRecord.of_exception(error)
    assert record == ErrorRecord(
        Reason.QUEUE_FULL,
        "later",
        {"page": "2", "scan-?.png": "scan-?.png", "long": "x" * MAX_TEXT},
        (Violation("config.?", "is ?"),),
        7,
    )
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(record), type=ErrorRecord) == record


def test_a_record_has_a_bounded_number_of_texts() -> None:
    many = {str(number): "" for number in range(1000)}
    violations = tuple(Violation(key, "") for key in many)
    record = ErrorRecord(Reason.INVALID_INPUT, "", many, violations).storable()
    assert (len(record.metadata), len(record.violations)) == (MAX_ENTRIES, MAX_ENTRIES)
