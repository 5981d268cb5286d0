"""Errors, one class per gRPC status, with what the server said in google.rpc details.

PromptFlowError
├── CancelledError           CANCELLED            the run was cancelled; no asyncio.CancelledError
├── UnknownError             UNKNOWN
├── InvalidArgumentError     INVALID_ARGUMENT     `violations` name the inputs
├── DeadlineExceededError    DEADLINE_EXCEEDED    of the call, of the run or of a step
├── NotFoundError            NOT_FOUND
├── AlreadyExistsError       ALREADY_EXISTS
├── PermissionDeniedError    PERMISSION_DENIED
├── UnauthenticatedError     UNAUTHENTICATED
├── ResourceExhaustedError   RESOURCE_EXHAUSTED   `retry_after` says when to come back
├── FailedPreconditionError  FAILED_PRECONDITION
├── AbortedError             ABORTED
├── OutOfRangeError          OUT_OF_RANGE
├── UnimplementedError       UNIMPLEMENTED
├── InternalError            INTERNAL
├── UnavailableError         UNAVAILABLE          after every try that the policy allows
└── DataLossError            DATA_LOSS
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from typing import NamedTuple

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import DecodeError, Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo  # type: ignore[import-untyped]
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]

_DETAILS_KEY = "grpc-status-details-bin"
_DETAILS: Mapping[str, type[Message]] = {
    f"google.rpc.{kind.__name__}": kind for kind in (ErrorInfo, BadRequest, RetryInfo)
}


class Reason(StrEnum):
    """The reasons that this release knows; an error may carry a newer one, as text."""

    INVALID_INPUT = "INVALID_INPUT"
    MALFORMED_REQUEST = "MALFORMED_REQUEST"
    FILE_UNREADABLE = "FILE_UNREADABLE"
    FILE_TOO_LARGE = "FILE_TOO_LARGE"
    FLOW_NOT_FOUND = "FLOW_NOT_FOUND"
    EXECUTION_NOT_FOUND = "EXECUTION_NOT_FOUND"
    REQUEST_ID_REUSED = "REQUEST_ID_REUSED"
    SEQUENCE_OUT_OF_RANGE = "SEQUENCE_OUT_OF_RANGE"
    TEMPLATE_FAILED = "TEMPLATE_FAILED"
    TEMPLATE_LIMIT = "TEMPLATE_LIMIT"
    CONFIG_INVALID = "CONFIG_INVALID"
    OUTPUT_INVALID = "OUTPUT_INVALID"
    EXECUTOR_FAILED = "EXECUTOR_FAILED"
    STEP_TIMEOUT = "STEP_TIMEOUT"
    EXECUTION_TIMEOUT = "EXECUTION_TIMEOUT"
    EXECUTION_CANCELLED = "EXECUTION_CANCELLED"
    WORKER_LOST = "WORKER_LOST"
    NO_WORKERS = "NO_WORKERS"
    QUEUE_FULL = "QUEUE_FULL"
    MODEL_UNAVAILABLE = "MODEL_UNAVAILABLE"
    STORE_UNAVAILABLE = "STORE_UNAVAILABLE"
    SERVER_DRAINING = "SERVER_DRAINING"
    CRASH_LOOP = "CRASH_LOOP"
    INTERNAL = "INTERNAL"
    BUNDLE_REFUSED = "BUNDLE_REFUSED"
    BUNDLE_CONFLICT = "BUNDLE_CONFLICT"
    CALLER_REFUSED = "CALLER_REFUSED"


class Violation(NamedTuple):
    """One mistake in the inputs; `field` is a path such as `tags[2]`."""

    field: str
    description: str


class PromptFlowError(Exception):
    """A call or a run that failed.

    `reason` is "" where the failure is the transport's own; `metadata` says where (execution_id, step, …);
    `retry_after` is set where waiting helps.
    """

    code = grpc.StatusCode.UNKNOWN

    def __init__(
        self,
        message: str,
        *,
        reason: str = "",
        metadata: Mapping[str, str] | None = None,
        violations: tuple[Violation, ...] = (),
        retry_after: timedelta | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason
        self.metadata = dict(metadata or {})
        self.violations = violations
        self.retry_after = retry_after

    @property
    def execution_id(self) -> str:
        """The run that failed, or whose result did not come; "" where there is none."""
        return self.metadata.get("execution_id", "")

    @property
    def step(self) -> str:
        """The step that failed, "" where there is none."""
        return self.metadata.get("step", "")

    def __str__(self) -> str:
        lines = [f"{self.reason or self.code.name}: {self.message}"]
        lines += [f"  {violation.field}: {violation.description}" for violation in self.violations]
        return "\n".join(lines)


class CancelledError(PromptFlowError):
    """The run was cancelled, or a proxy ended the call."""

    code = grpc.StatusCode.CANCELLED


class UnknownError(PromptFlowError):
    """The server said nothing that this client can read."""


class InvalidArgumentError(PromptFlowError):
    """The inputs are wrong; every mistake is in `violations`. The client raises it too, before anything is sent."""

    code = grpc.StatusCode.INVALID_ARGUMENT


class DeadlineExceededError(PromptFlowError):
    """The time for the call, the run or a step is over. With `execution_id`, the run itself may still go on."""

    code = grpc.StatusCode.DEADLINE_EXCEEDED


class NotFoundError(PromptFlowError):
    """No such flow, version or run."""

    code = grpc.StatusCode.NOT_FOUND


class AlreadyExistsError(PromptFlowError):
    """The request id belongs to a run with other inputs."""

    code = grpc.StatusCode.ALREADY_EXISTS


class PermissionDeniedError(PromptFlowError):
    """The caller may not do this."""

    code = grpc.StatusCode.PERMISSION_DENIED


class UnauthenticatedError(PromptFlowError):
    """The server does not know the caller."""

    code = grpc.StatusCode.UNAUTHENTICATED


class ResourceExhaustedError(PromptFlowError):
    """Too much at once, or a message too large."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED


class FailedPreconditionError(PromptFlowError):
    """The flow cannot run on these inputs: a template or a step's config fails."""

    code = grpc.StatusCode.FAILED_PRECONDITION


class AbortedError(PromptFlowError):
    """Something else came first."""

    code = grpc.StatusCode.ABORTED


class OutOfRangeError(PromptFlowError):
    """The run has no event of that sequence."""

    code = grpc.StatusCode.OUT_OF_RANGE


class UnimplementedError(PromptFlowError):
    """The server does not serve this flow, or is older than this client."""

    code = grpc.StatusCode.UNIMPLEMENTED


class InternalError(PromptFlowError):
    """A step or the server failed."""

    code = grpc.StatusCode.INTERNAL


class UnavailableError(PromptFlowError):
    """Nobody answers, or what the run needs is away."""

    code = grpc.StatusCode.UNAVAILABLE


class DataLossError(PromptFlowError):
    """Something stored cannot be read any more."""

    code = grpc.StatusCode.DATA_LOSS


ERRORS: Mapping[grpc.StatusCode, type[PromptFlowError]] = {
    error.code: error
    for error in (
        CancelledError,
        UnknownError,
        InvalidArgumentError,
        DeadlineExceededError,
        NotFoundError,
        AlreadyExistsError,
        PermissionDeniedError,
        UnauthenticatedError,
        ResourceExhaustedError,
        FailedPreconditionError,
        AbortedError,
        OutOfRangeError,
        UnimplementedError,
        InternalError,
        UnavailableError,
        DataLossError,
    )
}
_CODES: Mapping[int, grpc.StatusCode] = {int(code.value[0]): code for code in grpc.StatusCode}


def error_of_status(status: Status) -> PromptFlowError:
    """A google.rpc.Status as the error that it stands for; details of unknown type are passed over."""
    code = _CODES.get(status.code, grpc.StatusCode.UNKNOWN)
    reason, metadata = "", dict[str, str]()
    violations: tuple[Violation, ...] = ()
    retry_after: timedelta | None = None
    for detail in status.details:
        match _unpacked(detail):
            case ErrorInfo() as info:
                reason, metadata = info.reason, dict(info.metadata)
            case BadRequest() as request:
                violations = tuple(Violation(found.field, found.description) for found in request.field_violations)
            case RetryInfo() as retry if retry.HasField("retry_delay"):
                retry_after = retry.retry_delay.ToTimedelta()
            case _:
                pass
    return ERRORS.get(code, UnknownError)(
        status.message or code.name, reason=reason, metadata=metadata, violations=violations, retry_after=retry_after
    )


def error_of_call(error: grpc.aio.AioRpcError) -> PromptFlowError:
    """The error of a call that failed, from its details where the server sent some, else from its status alone."""
    details = error.details() or ""
    status = Status(code=int(error.code().value[0]), message=details)
    for key, value in error.trailing_metadata() or ():
        if key == _DETAILS_KEY and isinstance(value, bytes):
            try:
                sent = Status.FromString(value)
            except DecodeError:
                continue
            # The status line wins: a proxy that rewrote it knows more than the trailer that it forgot.
            status.details.extend(sent.details)
            status.message = details or sent.message
    return error_of_status(status)


def _unpacked(detail: AnyMessage) -> Message | None:
    kind = _DETAILS.get(detail.TypeName())
    if kind is None:
        return None
    try:
        return kind.FromString(detail.value)
    except DecodeError:
        return None
