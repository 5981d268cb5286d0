"""What is stored and sent: executions, steps, events, calls and their results, as msgpack.

Times are Redis time in Unix milliseconds. Values inside are native values (see `values`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from promptflow_core.errors import ErrorRecord
from promptflow_core.values import NativeValue


class ExecutionStatus(StrEnum):
    """Where a run is."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    @property
    def is_terminal(self) -> bool:
        """No transition leaves this status."""
        return self in TERMINAL


TERMINAL = frozenset({ExecutionStatus.COMPLETED, ExecutionStatus.FAILED, ExecutionStatus.CANCELLED})


class StepStatus(StrEnum):
    """Where a step, or an item of a for_each step, is."""

    PENDING = "PENDING"
    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    RETRYING = "RETRYING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    SKIPPED = "SKIPPED"
    CANCELLED = "CANCELLED"

    @property
    def is_terminal(self) -> bool:
        """No transition leaves this status."""
        return self in STEP_TERMINAL


STEP_TERMINAL = frozenset({StepStatus.COMPLETED, StepStatus.FAILED, StepStatus.SKIPPED, StepStatus.CANCELLED})


class EventKind(StrEnum):
    """The arms of a flow's `Event`, spelled as in the contract."""

    ACCEPTED = "accepted"
    STARTED = "started"
    STEP_STARTED = "step_started"
    STEP_PROGRESS = "step_progress"
    STEP_OUTPUT = "step_output"
    STEP_COMPLETED = "step_completed"
    STEP_FAILED = "step_failed"
    STEP_RETRYING = "step_retrying"
    STEP_SKIPPED = "step_skipped"
    HEARTBEAT = "heartbeat"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Progress:
    """`percentage` is 0 to 100 and never falls; the steps named are those that run now."""

    percentage: float = 0.0
    current_step: str = ""
    running_steps: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StepRecord:
    """A step or an item of one. `path` is `step` or `step/item`; times are 0 until they happen.

    A for_each step has `output` None, its items have records of their own; `items_total` is -1 for other steps.
    """

    path: str
    status: StepStatus = StepStatus.PENDING
    attempt: int = 0
    started_at_ms: int = 0
    finished_at_ms: int = 0
    due_at_ms: int = 0
    worker: str = ""
    output: NativeValue = None
    error: ErrorRecord | None = None
    items_total: int = -1


@dataclass(frozen=True, slots=True)
class EventRecord:
    """One event of a run; which fields hold something depends on `kind`. `sequence` is dense from 1."""

    execution_id: str
    sequence: int
    time_ms: int
    kind: EventKind
    progress: Progress = field(default_factory=Progress)
    step: str = ""
    item: int | None = None
    attempt: int = 0
    output: NativeValue = None
    error: ErrorRecord | None = None
    delay_ms: int = 0
    reason: str = ""
    percentage: float = 0.0
    message: str = ""


@dataclass(frozen=True, slots=True)
class ExecutionRecord:
    """One run as it stands: the head of the run and its steps by path."""

    execution_id: str
    flow: str
    version: int
    bundle_digest: str
    status: ExecutionStatus
    sequence: int
    inputs: Mapping[str, NativeValue]
    steps: Mapping[str, StepRecord] = field(default_factory=dict[str, StepRecord])
    progress: Progress = field(default_factory=Progress)
    result: Mapping[str, NativeValue] | None = None
    error: ErrorRecord | None = None
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    created_at_ms: int = 0
    started_at_ms: int = 0
    finished_at_ms: int = 0
    deadline_at_ms: int = 0
    server: str = ""


@dataclass(frozen=True, slots=True)
class Call:
    """One attempt of one step, on its way to a worker pool. `id` is `{execution}/{step}/{item}/{attempt}`.

    `config` is the rendered config as msgpack; `deadline_at_ms` 0 means none. `epoch` is that of the run's owner:
    a re-put by an older owner does not re-point the reply.
    """

    id: str
    executor: str
    execution_id: str
    step: str
    item: int | None
    attempt: int
    config: bytes
    deadline_at_ms: int = 0
    epoch: int = 0


@dataclass(frozen=True, slots=True)
class CallResult:
    """What became of a call: `output` as msgpack, or `error`."""

    call_id: str
    output: bytes | None = None
    error: ErrorRecord | None = None
    worker: str = ""


@dataclass(frozen=True, slots=True)
class CallProgress:
    """A sign of life from a running call; may be lost."""

    call_id: str
    percentage: float
    message: str = ""


def call_id(execution_id: str, step: str, item: int | None, attempt: int) -> str:
    """The id of an attempt, and its idempotency key."""
    return f"{execution_id}/{step}/{'-' if item is None else item}/{attempt}"


def step_path(step: str, item: int | None = None) -> str:
    """The key of a step's record, or of one of its items."""
    return step if item is None else f"{step}/{item}"
