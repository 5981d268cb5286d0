"""What the server sends as google.rpc details, read as one tree of errors."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import grpc
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from tests.unit.clients.conftest import Serve
from tests.unit.clients.sample import Sample
from tests.unit.clients.scripted import Fail, Message, bad_request, retry_info

import promptflow_client
from promptflow_client import PromptFlowError, Reason, RetryPolicy, Violation
from promptflow_client import errors as client_errors
from promptflow_client.errors import ERRORS, error_of_call, error_of_status
from promptflow_core import errors as core_errors

Code = grpc.StatusCode


@pytest.mark.parametrize("code", [code for code in Code if code is not Code.OK], ids=lambda code: str(code.name))
async def test_each_status_has_an_error_of_its_own(sample: Sample, served: Serve, code: grpc.StatusCode) -> None:
    async with (
        served({"GetInfo": [[Fail(code, "what happened", "SOME_REASON")] for _ in range(9)]}) as server,
        sample.index.PromptFlow(server.target, retry=RetryPolicy(patience_s=0)) as pf,
    ):
        with pytest.raises(ERRORS[code]) as caught:
            await pf.sample.info()
    error = caught.value
    assert (error.code, error.message, error.reason, error.step) == (code, "what happened", "SOME_REASON", "echo")


def test_the_table_has_every_status_and_every_class_is_public() -> None:
    assert set(ERRORS) == set(Code) - {Code.OK}
    assert all(issubclass(error, PromptFlowError) and error.code is code for code, error in ERRORS.items())
    assert {error.__name__ for error in ERRORS.values()} < set(promptflow_client.__all__)


def test_the_reasons_are_those_of_the_server() -> None:
    assert [str(reason) for reason in Reason] == [str(reason) for reason in core_errors.Reason]


DETAILS: dict[str, tuple[tuple[Message, ...], dict[str, Any]]] = {
    "violations": (
        (bad_request(text="is too short", count="is below 0"),),
        {"violations": (Violation("text", "is too short"), Violation("count", "is below 0")), "retry_after": None},
    ),
    "when to come back": (
        (retry_info(timedelta(seconds=1.5)),),
        {"violations": (), "retry_after": timedelta(seconds=1.5)},
    ),
    "a type that nobody knows": (
        (AnyMessage(type_url="type.googleapis.com/some.Thing", value=b"?"), retry_info(timedelta(seconds=1))),
        {"retry_after": timedelta(seconds=1)},
    ),
    "a detail that is damaged": (
        (AnyMessage(type_url="type.googleapis.com/google.rpc.BadRequest", value=b"\xff"),),
        {"violations": ()},
    ),
}


@pytest.mark.parametrize(("details", "expected"), DETAILS.values(), ids=DETAILS.keys())
def test_details_become_attributes(details: tuple[Message, ...], expected: dict[str, Any]) -> None:
    error = error_of_status(Fail(Code.RESOURCE_EXHAUSTED, reason="QUEUE_FULL", details=details).status())
    assert {name: getattr(error, name) for name in expected} == expected
    assert error.reason == Reason.QUEUE_FULL


def test_a_damaged_trailer_leaves_the_status_line() -> None:
    trailers = grpc.aio.Metadata(("grpc-status-details-bin", b"\xff\xff"))
    error = error_of_call(grpc.aio.AioRpcError(Code.NOT_FOUND, grpc.aio.Metadata(), trailers, details="not there"))
    assert (type(error), error.message, error.reason) == (client_errors.NotFoundError, "not there", "")


def test_a_proxy_that_rewrote_the_status_is_believed() -> None:
    sent = Fail(Code.INTERNAL, "inner", reason="INTERNAL").status().SerializeToString()
    trailers = grpc.aio.Metadata(("grpc-status-details-bin", sent))
    error = error_of_call(grpc.aio.AioRpcError(Code.UNAVAILABLE, grpc.aio.Metadata(), trailers, details="outer"))
    assert (error.code, error.message, error.reason) == (Code.UNAVAILABLE, "outer", "INTERNAL")


def test_a_code_of_the_future_is_unknown() -> None:
    status = Fail(Code.OK).status()
    status.code = 99
    assert error_of_status(status).code is Code.UNKNOWN


def test_the_text_says_reason_message_and_every_violation() -> None:
    error = error_of_status(
        Fail(Code.INVALID_ARGUMENT, "no", "INVALID_INPUT", (bad_request(text="too short"),)).status()
    )
    assert str(error) == "INVALID_INPUT: no\n  text: too short"
