"""The parts of a run that are the same in every flow, out of their messages.

What a newer server says and this release does not know is left out or marked as unknown; it never fails.
"""

from __future__ import annotations

from datetime import datetime
from typing import TypeVar

from promptflow_client.connection import MessageT
from promptflow_client.decoding import decode_time
from promptflow_client.errors import error_of_status
from promptflow_client.executions import ExecutionMetadata, ExecutionStatus, Progress, StepState, StepStatus
from promptflow_client.json_values import decode_struct
from promptflow_client.plans import Plan, PlanDecision, PlannedStep

StatusT = TypeVar("StatusT", ExecutionStatus, StepStatus, PlanDecision)


def read_status(message: MessageT, field: str, statuses: type[StatusT]) -> StatusT:
    """The status in a field; UNSPECIFIED where this release has no name for it."""
    value = message.DESCRIPTOR.fields_by_name[field].enum_type.values_by_number.get(getattr(message, field))
    return statuses.__members__.get(value.name if value else "", statuses.UNSPECIFIED)


def read_state(step: MessageT) -> StepState:
    """The state of a step or an item."""
    if not step.HasField("state"):
        return StepState()
    state = step.state
    return StepState(
        status=read_status(state, "status", StepStatus),
        attempts=state.attempts,
        started_at=read_time(state, "started_at"),
        finished_at=read_time(state, "finished_at"),
        worker=state.worker,
        error=error_of_status(state.error) if state.HasField("error") else None,
    )


def has_failed(step: MessageT) -> bool:
    """Whether a step has failed for good."""
    return read_status(step.state, "status", StepStatus) is StepStatus.FAILED


def read_progress(message: MessageT) -> Progress:
    """How far a run is."""
    return Progress(message.percentage, message.current_step, tuple(message.running_steps))


def read_metadata(message: MessageT) -> ExecutionMetadata:
    """When and where a run took place."""
    return ExecutionMetadata(
        created_at=read_time(message, "created_at"),
        started_at=read_time(message, "started_at"),
        finished_at=read_time(message, "finished_at"),
        server=message.server,
        bundle_digest=message.bundle_digest,
        labels=dict(message.labels),
    )


def read_plan(message: MessageT) -> Plan:
    """What a run would do."""
    steps = (
        PlannedStep(
            step=step.step,
            executor=step.executor,
            queue=step.queue,
            needs=tuple(step.needs),
            stage=step.stage,
            decision=read_status(step, "decision", PlanDecision),
            items=step.items if step.HasField("items") else None,
            cost=step.cost if step.HasField("cost") else None,
            config=decode_struct(step.config) if step.HasField("config") else None,
        )
        for step in message.steps
    )
    return Plan(message.flow, message.version, message.bundle_digest, tuple(steps))


def read_time(message: MessageT, field: str) -> datetime | None:
    """A time, or None where it has not come."""
    return decode_time(getattr(message, field)) if message.HasField(field) else None
