"""Failures at run time: a closed list of reasons, one table of what each means, and a record that travels.

An error is raised once, where it arises, as `FlowError`; between processes and in the store it is an `ErrorRecord`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from traceback import TracebackException

DOMAIN = "promptflow"

MAX_TEXT, MAX_ENTRIES = 4000, 64


class Code(IntEnum):
    """The canonical gRPC status codes (google.rpc.Code)."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class Reason(StrEnum):
    """Why something failed; stable, part of the contract (`promptflow_api.v1.ErrorReason`)."""

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


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a reason says to a caller, and whether trying the same again can help."""

    code: Code
    retryable: bool


MEANINGS: Mapping[Reason, Meaning] = {
    Reason.INVALID_INPUT: Meaning(Code.INVALID_ARGUMENT, retryable=False),
    Reason.MALFORMED_REQUEST: Meaning(Code.INVALID_ARGUMENT, retryable=False),
    Reason.FILE_UNREADABLE: Meaning(Code.INVALID_ARGUMENT, retryable=False),
    Reason.FILE_TOO_LARGE: Meaning(Code.INVALID_ARGUMENT, retryable=False),
    Reason.FLOW_NOT_FOUND: Meaning(Code.NOT_FOUND, retryable=False),
    Reason.EXECUTION_NOT_FOUND: Meaning(Code.NOT_FOUND, retryable=False),
    Reason.REQUEST_ID_REUSED: Meaning(Code.ALREADY_EXISTS, retryable=False),
    Reason.SEQUENCE_OUT_OF_RANGE: Meaning(Code.OUT_OF_RANGE, retryable=False),
    Reason.TEMPLATE_FAILED: Meaning(Code.FAILED_PRECONDITION, retryable=False),
    Reason.TEMPLATE_LIMIT: Meaning(Code.FAILED_PRECONDITION, retryable=False),
    Reason.CONFIG_INVALID: Meaning(Code.FAILED_PRECONDITION, retryable=False),
    Reason.OUTPUT_INVALID: Meaning(Code.INTERNAL, retryable=False),
    Reason.EXECUTOR_FAILED: Meaning(Code.INTERNAL, retryable=True),
    Reason.STEP_TIMEOUT: Meaning(Code.DEADLINE_EXCEEDED, retryable=True),
    Reason.EXECUTION_TIMEOUT: Meaning(Code.DEADLINE_EXCEEDED, retryable=False),
    Reason.EXECUTION_CANCELLED: Meaning(Code.CANCELLED, retryable=False),
    Reason.WORKER_LOST: Meaning(Code.UNAVAILABLE, retryable=True),
    Reason.NO_WORKERS: Meaning(Code.UNAVAILABLE, retryable=True),
    Reason.QUEUE_FULL: Meaning(Code.RESOURCE_EXHAUSTED, retryable=True),
    Reason.MODEL_UNAVAILABLE: Meaning(Code.UNAVAILABLE, retryable=True),
    Reason.STORE_UNAVAILABLE: Meaning(Code.UNAVAILABLE, retryable=True),
    Reason.SERVER_DRAINING: Meaning(Code.UNAVAILABLE, retryable=True),
    Reason.CRASH_LOOP: Meaning(Code.INTERNAL, retryable=False),
    Reason.BUNDLE_REFUSED: Meaning(Code.FAILED_PRECONDITION, retryable=False),
    Reason.BUNDLE_CONFLICT: Meaning(Code.ABORTED, retryable=False),
    Reason.CALLER_REFUSED: Meaning(Code.PERMISSION_DENIED, retryable=False),
    Reason.INTERNAL: Meaning(Code.INTERNAL, retryable=False),
}


@dataclass(frozen=True, slots=True)
class Violation:
    """One mistake in a request; `field` is a path in terms of the flow's inputs."""

    field: str
    description: str


@dataclass(frozen=True, slots=True)
class ErrorRecord:
    """An error as it is stored and sent; `retry_after_ms` is set where waiting helps."""

    reason: Reason
    message: str
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])
    violations: tuple[Violation, ...] = ()
    retry_after_ms: int | None = None

    @classmethod
    def of_exception(cls, error: Exception) -> ErrorRecord:
        """What is recorded of any failure, fit to be stored: a FlowError's record, or else EXECUTOR_FAILED."""
        if isinstance(error, FlowError):
            return error.record.storable()
        # Unlike `str`, this bears an exception whose own `__str__` raises.
        shown = TracebackException(type(error), error, None)
        return cls(Reason.EXECUTOR_FAILED, storable_text(f"{type(error).__name__}: {shown}"))

    @property
    def code(self) -> Code:
        """The gRPC status that callers see."""
        return MEANINGS[self.reason].code

    @property
    def is_retryable(self) -> bool:
        """Whether the same attempt may succeed later."""
        return MEANINGS[self.reason].retryable

    def with_metadata(self, **metadata: str) -> ErrorRecord:
        """A copy that says more about where it happened; what is there already stays."""
        merged = {**metadata, **self.metadata}
        return ErrorRecord(self.reason, self.message, merged, self.violations, self.retry_after_ms)

    def storable(self) -> ErrorRecord:
        """A copy with every text cut and in valid UTF-8, and so many of them at most."""
        metadata = {storable_text(key): storable_text(self.metadata[key]) for key in list(self.metadata)[:MAX_ENTRIES]}
        violations = tuple(
            Violation(storable_text(violation.field), storable_text(violation.description))
            for violation in self.violations[:MAX_ENTRIES]
        )
        return ErrorRecord(self.reason, storable_text(self.message), metadata, violations, self.retry_after_ms)


class FlowError(Exception):
    """A failure that a caller or a retry policy can act on."""

    def __init__(
        self,
        reason: Reason,
        message: str,
        *,
        metadata: Mapping[str, str] | None = None,
        violations: tuple[Violation, ...] = (),
        retry_after_ms: int | None = None,
    ) -> None:
        super().__init__(message)
        self.record = ErrorRecord(reason, message, dict(metadata or {}), violations, retry_after_ms)

    @classmethod
    def of(cls, record: ErrorRecord) -> FlowError:
        """Raise again what travelled as a record."""
        return cls(
            record.reason,
            record.message,
            metadata=record.metadata,
            violations=record.violations,
            retry_after_ms=record.retry_after_ms,
        )


def storable_text(text: object) -> str:
    """Text of whatever origin as msgpack and protobuf take it: cut, `?` for what UTF-8 cannot say."""
    return str(text)[:MAX_TEXT].encode("utf-8", "replace").decode()
