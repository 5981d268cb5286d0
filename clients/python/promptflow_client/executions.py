"""A run as it stands, and what a flow says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Generic, TypeVar

from promptflow_client.errors import PromptFlowError
from promptflow_client.json_values import Json

ResultT = TypeVar("ResultT")
StepsT = TypeVar("StepsT")
OutputT = TypeVar("OutputT")


class ExecutionStatus(StrEnum):
    """Where a run is. UNSPECIFIED stands for a status that this release does not know."""

    UNSPECIFIED = "UNSPECIFIED"
    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    @property
    def is_terminal(self) -> bool:
        """Nothing follows this status."""
        return self in (ExecutionStatus.COMPLETED, ExecutionStatus.FAILED, ExecutionStatus.CANCELLED)


class StepStatus(StrEnum):
    """Where a step or an item is. UNSPECIFIED stands for a status that this release does not know."""

    UNSPECIFIED = "UNSPECIFIED"
    PENDING = "PENDING"
    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    RETRYING = "RETRYING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    SKIPPED = "SKIPPED"
    CANCELLED = "CANCELLED"


@dataclass(frozen=True, slots=True)
class Progress:
    """`percentage` is 0 to 100 and never falls; the steps named are those that run now."""

    percentage: float = 0.0
    current_step: str = ""
    running_steps: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StepState:
    """How a step or an item fares; times are None until they happen."""

    status: StepStatus = StepStatus.PENDING
    attempts: int = 0
    started_at: datetime | None = None
    finished_at: datetime | None = None
    worker: str = ""
    error: PromptFlowError | None = None


@dataclass(frozen=True, slots=True)
class Step(Generic[OutputT]):
    """One step; `output` is None until it has completed."""

    state: StepState = field(default_factory=StepState)
    output: OutputT | None = None


@dataclass(frozen=True, slots=True)
class Item(Generic[OutputT]):
    """One item of a for_each step; `output` is None until it has completed."""

    index: int
    state: StepState = field(default_factory=StepState)
    output: OutputT | None = None


@dataclass(frozen=True, slots=True)
class ForEachStep(Generic[OutputT]):
    """A step that runs once per item."""

    state: StepState = field(default_factory=StepState)
    items: tuple[Item[OutputT], ...] = ()


@dataclass(frozen=True, slots=True)
class ExecutionMetadata:
    """When and where a run took place; times are None until they happen."""

    created_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    server: str = ""
    bundle_digest: str = ""
    labels: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Execution(Generic[ResultT, StepsT]):
    """One run. `result` is the flow's promise and there once COMPLETED; `steps` is a view, open to change."""

    execution_id: str
    status: ExecutionStatus
    progress: Progress
    result: ResultT | None
    steps: StepsT
    error: PromptFlowError | None
    metadata: ExecutionMetadata


@dataclass(frozen=True, slots=True)
class ExecutionSummary:
    """One run as lists have it, of any flow: without result and steps, which `handle(execution_id).status()` gives."""

    execution_id: str
    flow: str
    version: int
    status: ExecutionStatus
    progress: Progress
    error: PromptFlowError | None
    metadata: ExecutionMetadata


@dataclass(frozen=True, slots=True)
class FlowSummary:
    """One major version of a flow that is served; `service` is its gRPC service's full name, its REST paths begin with
    `path`."""

    flow: str
    version: int
    description: str
    service: str
    path: str


@dataclass(frozen=True, slots=True)
class FlowInfo:
    """A flow as the server runs it."""

    flow: str
    version: int
    description: str
    bundle_digest: str
    definition: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class ComponentHealth:
    """One part that a flow needs: `redis`, or the pool `queue/<name>`."""

    name: str
    is_serving: bool
    message: str


@dataclass(frozen=True, slots=True)
class Health:
    """`is_serving` when every part that the flow needs answers."""

    is_serving: bool
    components: tuple[ComponentHealth, ...]
