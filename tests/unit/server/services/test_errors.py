from __future__ import annotations

from collections.abc import Mapping

import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message as ProtoMessage
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]

from promptflow_core.errors import MEANINGS, Code, ErrorRecord, Reason, Violation
from promptflow_server.services.contracts import FlowContract
from promptflow_server.services.errors import bad_request, grpc_status_of, status_of, without_unknown_details

MAX_TRAILER_BYTES = 6_000

CODES: Mapping[Reason, Code] = {
    Reason.INVALID_INPUT: Code.INVALID_ARGUMENT,
    Reason.MALFORMED_REQUEST: Code.INVALID_ARGUMENT,
    Reason.FILE_UNREADABLE: Code.INVALID_ARGUMENT,
    Reason.FILE_TOO_LARGE: Code.INVALID_ARGUMENT,
    Reason.FLOW_NOT_FOUND: Code.NOT_FOUND,
    Reason.EXECUTION_NOT_FOUND: Code.NOT_FOUND,
    Reason.REQUEST_ID_REUSED: Code.ALREADY_EXISTS,
    Reason.SEQUENCE_OUT_OF_RANGE: Code.OUT_OF_RANGE,
    Reason.TEMPLATE_FAILED: Code.FAILED_PRECONDITION,
    Reason.TEMPLATE_LIMIT: Code.FAILED_PRECONDITION,
    Reason.CONFIG_INVALID: Code.FAILED_PRECONDITION,
    Reason.OUTPUT_INVALID: Code.INTERNAL,
    Reason.EXECUTOR_FAILED: Code.INTERNAL,
    Reason.STEP_TIMEOUT: Code.DEADLINE_EXCEEDED,
    Reason.EXECUTION_TIMEOUT: Code.DEADLINE_EXCEEDED,
    Reason.EXECUTION_CANCELLED: Code.CANCELLED,
    Reason.WORKER_LOST: Code.UNAVAILABLE,
    Reason.NO_WORKERS: Code.UNAVAILABLE,
    Reason.QUEUE_FULL: Code.RESOURCE_EXHAUSTED,
    Reason.MODEL_UNAVAILABLE: Code.UNAVAILABLE,
    Reason.STORE_UNAVAILABLE: Code.UNAVAILABLE,
    Reason.SERVER_DRAINING: Code.UNAVAILABLE,
    Reason.CRASH_LOOP: Code.INTERNAL,
    Reason.BUNDLE_REFUSED: Code.FAILED_PRECONDITION,
    Reason.BUNDLE_CONFLICT: Code.ABORTED,
    Reason.CALLER_REFUSED: Code.PERMISSION_DENIED,
    Reason.INTERNAL: Code.INTERNAL,
}
WAITING_HELPS = {Code.UNAVAILABLE, Code.RESOURCE_EXHAUSTED}


def details_of(status: status_pb2.Status) -> dict[str, ProtoMessage]:
    found: dict[str, ProtoMessage] = {}
    for detail in status.details:
        name = detail.TypeName().removeprefix("google.rpc.")
        message: ProtoMessage = getattr(error_details_pb2, name)()
        assert detail.Unpack(message)
        found[name] = message
    return found


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_its_code_and_says_itself(reason: Reason) -> None:
    status = status_of(ErrorRecord(reason, "what to do", {"step": "ocr"}))
    info = details_of(status)["ErrorInfo"]
    assert (status.code, status.message) == (CODES[reason], "what to do")
    assert info == error_details_pb2.ErrorInfo(reason=reason, domain="promptflow", metadata={"step": "ocr"})


@pytest.mark.parametrize("reason", Reason)
def test_retry_info_is_there_where_waiting_helps_and_only_there(reason: Reason) -> None:
    assert ("RetryInfo" in details_of(status_of(ErrorRecord(reason, "")))) == (CODES[reason] in WAITING_HELPS)


def test_a_delay_that_is_known_is_told_whatever_the_code() -> None:
    retry = details_of(status_of(ErrorRecord(Reason.EXECUTOR_FAILED, "", retry_after_ms=1500)))["RetryInfo"]
    assert retry == error_details_pb2.RetryInfo(retry_delay={"seconds": 1, "nanos": 500_000_000})


def test_violations_become_a_bad_request_in_their_order() -> None:
    error = bad_request([Violation("text", "value is required"), Violation("tags[0]", "too short")])
    request = details_of(status_of(error.record))["BadRequest"]
    assert request == error_details_pb2.BadRequest(
        field_violations=[
            {"field": "text", "description": "value is required"},
            {"field": "tags[0]", "description": "too short"},
        ]
    )
    assert str(error) == "`text`: value is required (and 1 more)"


def test_the_table_of_the_tests_covers_the_reasons() -> None:
    assert set(CODES) == set(Reason) == set(MEANINGS)


def test_the_status_of_a_call_carries_the_details() -> None:
    ended = grpc_status_of(ErrorRecord(Reason.NO_WORKERS, "start a worker"))
    (entry,) = ended.trailing_metadata
    assert entry[0] == "grpc-status-details-bin"
    assert status_pb2.Status.FromString(entry[1]) == status_of(ErrorRecord(Reason.NO_WORKERS, "start a worker"))


@pytest.mark.parametrize(
    "error",
    [
        ErrorRecord(Reason.INTERNAL, "m" * 100_000),
        ErrorRecord(Reason.INTERNAL, "→" * 100_000),
        ErrorRecord(Reason.INTERNAL, "", {f"key{index}" * 99: "v" * 10_000 for index in range(100)}),
        ErrorRecord(
            Reason.INVALID_INPUT,
            "many",
            violations=tuple(Violation(f"tags[{index}]" * 9, "too short" * 999) for index in range(10_000)),
        ),
    ],
    ids=["message", "wide-message", "metadata", "violations"],
)
def test_no_error_outgrows_the_trailers_of_a_call(error: ErrorRecord) -> None:
    assert status_of(error).ByteSize() < MAX_TRAILER_BYTES


def test_violations_that_are_cut_are_counted() -> None:
    violations = tuple(Violation(f"tags[{index}]", "x" * 100) for index in range(100))
    request = details_of(status_of(ErrorRecord(Reason.INVALID_INPUT, "", violations=violations)))["BadRequest"]
    told = list(request.field_violations)  # type: ignore[attr-defined]
    assert told[-1].description == f"and {100 - len(told) + 1} more"


def test_half_a_surrogate_in_a_message_does_not_break_the_status() -> None:
    assert status_of(ErrorRecord(Reason.INTERNAL, "a\ud800b")).message == "a?b"


def test_details_that_the_pool_lacks_are_dropped(contract: FlowContract) -> None:
    status = status_of(ErrorRecord(Reason.NO_WORKERS, "start a worker"))
    known = len(status.details)
    status.details.append(AnyMessage(type_url="type.googleapis.com/acme.Secret", value=b""))
    assert without_unknown_details(status, contract.pool).details == status.details[:known]
