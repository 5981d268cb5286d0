"""Heads, steps and events of runs as Redis keeps them: hashes and stream entries of msgpack."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import MISSING, Field, dataclass, fields, replace
from typing import Any, TypeVar

import msgspec

from promptflow_core.errors import ErrorRecord
from promptflow_core.records import EventRecord, ExecutionRecord, ExecutionStatus, Progress, StepRecord
from promptflow_core.values import NativeValue, decode_value, encode_value

RecordT = TypeVar("RecordT", EventRecord, StepRecord)


def _default(field: Field[Any]) -> Any:
    return field.default if field.default_factory is MISSING else field.default_factory()


_NESTED = (Progress, ErrorRecord)
_DEFAULTS = {
    record_type: tuple((field.name, _default(field)) for field in fields(record_type))
    for record_type in (EventRecord, StepRecord)
}


@dataclass(frozen=True, slots=True)
class HeadChange:
    """What a transition changes in the head of a run; None leaves a field as it is."""

    status: ExecutionStatus | None = None
    progress: Progress | None = None
    result: Mapping[str, NativeValue] | None = None
    error: ErrorRecord | None = None
    started_at_ms: int | None = None
    finished_at_ms: int | None = None
    server: str | None = None

    def applied_to(self, record: ExecutionRecord) -> ExecutionRecord:
        """The run after this change."""
        return replace(record, **{name: value for name, value in _present(self) if value is not None})


def encode_record(record: EventRecord | StepRecord) -> bytes:
    """Write an event or a step; what has its default value is left out.

    Raises:
        TypeError, OverflowError: its output is not a native value.
    """
    document: dict[str, Any] = {}
    for name, default in _DEFAULTS[type(record)]:
        value = getattr(record, name)
        if value != default:
            document[name] = msgspec.to_builtins(value) if isinstance(value, _NESTED) else value
    return encode_value(document)


def decode_record(data: bytes, record_type: type[RecordT]) -> RecordT:
    """Read what `encode_record` wrote."""
    return msgspec.convert(decode_value(data), record_type)


def encode_new_head(record: ExecutionRecord) -> list[bytes | str | int]:
    """The dictionary with which a run begins; status and sequence are the store's to set."""
    return [
        *("flow", record.flow, "version", record.version, "digest", record.bundle_digest),
        *("inputs", encode_value(dict(record.inputs)), "labels", encode_value(dict(record.labels))),
        *("created", record.created_at_ms, "deadline", record.deadline_at_ms),
    ]


def encode_head_change(change: HeadChange) -> list[bytes | str | int]:
    """The dictionary of what a transition changes."""
    changed: list[bytes | str | int] = []
    for name, value in _present(change):
        match value:
            case None:
                continue
            case ExecutionStatus() | int() | str():
                encoded: bytes | str | int = value
            case Progress() | ErrorRecord():
                encoded = msgspec.msgpack.encode(value)
            case _:
                encoded = encode_value(dict(value))
        changed += [_HEAD_FIELDS[name], encoded]
    return changed


def decode_run(execution_id: str, head: Mapping[bytes, bytes], steps: Mapping[bytes, bytes]) -> ExecutionRecord:
    """Put a run together from its hashes."""
    return ExecutionRecord(
        execution_id=execution_id,
        flow=head[b"flow"].decode(),
        version=int(head[b"version"]),
        bundle_digest=head[b"digest"].decode(),
        status=ExecutionStatus(head[b"status"].decode()),
        sequence=int(head[b"seq"]),
        inputs=decode_value(head[b"inputs"]),
        steps={path.decode(): decode_record(data, StepRecord) for path, data in steps.items()},
        progress=msgspec.msgpack.decode(head[b"progress"], type=Progress) if b"progress" in head else Progress(),
        result=decode_value(head[b"result"]) if b"result" in head else None,
        error=msgspec.msgpack.decode(head[b"error"], type=ErrorRecord) if b"error" in head else None,
        labels=decode_value(head[b"labels"]),
        created_at_ms=int(head[b"created"]),
        started_at_ms=int(head.get(b"started", 0)),
        finished_at_ms=int(head.get(b"finished", 0)),
        deadline_at_ms=int(head[b"deadline"]),
        server=head.get(b"server", b"").decode(),
    )


def decode_summary(execution_id: str, head: Mapping[str, bytes]) -> ExecutionRecord:
    """A run by its head alone: without inputs, steps and result."""
    named = {name.encode(): value for name, value in head.items()}
    empty = {b"seq": b"0", b"inputs": encode_value({})}
    return decode_run(execution_id, {**empty, **named}, {})


def pairs(flat: Iterable[bytes]) -> dict[bytes, bytes]:
    """A dictionary from the flat list that Lua answers."""
    iterator = iter(flat)
    return dict(zip(iterator, iterator, strict=True))


_HEAD_FIELDS = {
    "status": "status",
    "progress": "progress",
    "result": "result",
    "error": "error",
    "started_at_ms": "started",
    "finished_at_ms": "finished",
    "server": "server",
}


def _present(change: HeadChange) -> list[tuple[str, Any]]:
    return [(name, getattr(change, name)) for name in _HEAD_FIELDS]
