"""Failures as callers see them: google.rpc.Status with ErrorInfo, BadRequest and RetryInfo.

Everything is bounded: a status travels in the trailers of a call, and clients drop the call where these outgrow 8 KiB.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import grpc
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message as ProtoMessage
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]
from grpc_status import rpc_status

from promptflow_core.errors import DOMAIN, Code, ErrorRecord, FlowError, Reason, Violation

DEFAULT_RETRY_MS = 1_000
MAX_MESSAGE_BYTES = 512
MAX_METADATA_BYTES = 128
MAX_METADATA_ENTRIES = 12
MAX_DETAILS_BYTES = 3_072

_WAITING_HELPS = frozenset({Code.RESOURCE_EXHAUSTED, Code.UNAVAILABLE})


def status_of(error: ErrorRecord) -> status_pb2.Status:
    """The status that says what `error` says: its code and message, ErrorInfo, then what else is known."""
    status = status_pb2.Status(code=int(error.code), message=_cut(error.message, MAX_MESSAGE_BYTES))
    for detail in _details_of(error):
        status.details.add().Pack(detail)
    return status


def grpc_status_of(error: ErrorRecord) -> grpc.Status:
    """The same in the form that ends a call."""
    to_status: Any = rpc_status.to_status  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    ended: grpc.Status = to_status(status_of(error))
    return ended


def bad_request(violations: Sequence[Violation], reason: Reason = Reason.INVALID_INPUT) -> FlowError:
    """All mistakes of one request as one error; its message tells the first."""
    first, rest = violations[0], len(violations) - 1
    more = f" (and {rest} more)" if rest else ""
    message = f"`{first.field}`: {first.description}{more}" if first.field else f"{first.description}{more}"
    return FlowError(reason, message, violations=tuple(violations))


def without_unknown_details(status: status_pb2.Status, pool: DescriptorPool) -> status_pb2.Status:
    """A copy whose details are all of types that `pool` has: one `Any` of another breaks the JSON of the whole."""
    known = status_pb2.Status(code=status.code, message=status.message)
    for detail in status.details:
        try:
            pool.FindMessageTypeByName(detail.TypeName())
        except KeyError:
            continue
        known.details.add().CopyFrom(detail)
    return known


def _details_of(error: ErrorRecord) -> Iterable[ProtoMessage]:
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=_bounded(error.metadata))
    yield info
    if error.violations:
        yield _bad_request_of(error.violations, MAX_DETAILS_BYTES - info.ByteSize())
    if error.retry_after_ms is not None or error.code in _WAITING_HELPS:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromMilliseconds(DEFAULT_RETRY_MS if error.retry_after_ms is None else error.retry_after_ms)
        yield retry


def _bad_request_of(violations: Sequence[Violation], budget_bytes: int) -> error_details_pb2.BadRequest:
    request = error_details_pb2.BadRequest()
    for index, violation in enumerate(violations):
        entry = error_details_pb2.BadRequest.FieldViolation(
            field=_cut(violation.field, MAX_METADATA_BYTES), description=_cut(violation.description, MAX_MESSAGE_BYTES)
        )
        budget_bytes -= entry.ByteSize()
        if budget_bytes < 0:
            request.field_violations.add(description=f"and {len(violations) - index} more")
            break
        request.field_violations.append(entry)
    return request


def _bounded(metadata: Mapping[str, str]) -> dict[str, str]:
    entries = list(metadata.items())[:MAX_METADATA_ENTRIES]
    return {_cut(key, MAX_METADATA_BYTES): _cut(value, MAX_METADATA_BYTES) for key, value in entries}


def _cut(text: str, limit_bytes: int) -> str:
    data = text.encode("utf-8", "replace")
    return data.decode() if len(data) <= limit_bytes else data[: limit_bytes - 3].decode("utf-8", "ignore") + "…"
