"""What happens in a run, one class per kind, to be told apart with `match`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic, TypeAlias, TypeVar

from promptflow_client.errors import PromptFlowError
from promptflow_client.executions import Progress

ExecutionT = TypeVar("ExecutionT")
OutputT = TypeVar("OutputT")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEvent:
    """What every event says. `sequence` counts from 1 without gaps; 0 marks events that are not kept."""

    execution_id: str
    sequence: int
    time: datetime | None
    progress: Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class StepEvent(RunEvent):
    """What every event of a step says; `item` counts from 0 in a for_each step, else it is None."""

    step: str
    item: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted(RunEvent, Generic[ExecutionT]):
    """The run is recorded; always the first."""

    execution: ExecutionT


@dataclass(frozen=True, slots=True, kw_only=True)
class Started(RunEvent, Generic[ExecutionT]):
    """A server has taken the run up."""

    execution: ExecutionT


@dataclass(frozen=True, slots=True, kw_only=True)
class StepStarted(StepEvent):
    """A step begins."""

    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StepProgress(StepEvent):
    """How far a step is, 0 to 100. Not kept: a cut may lose some."""

    percentage: float
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StepOutput(StepEvent, Generic[OutputT]):
    """A part of an output; a StepRetrying of the same attempt makes it void."""

    attempt: int
    output: OutputT | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepCompleted(StepEvent, Generic[OutputT]):
    """A step is done, with its whole output; a for_each step gives none here: see `Execution.steps`."""

    attempt: int
    output: OutputT | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFailed(StepEvent):
    """A step has failed for good."""

    attempt: int
    error: PromptFlowError


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRetrying(StepEvent):
    """A step has failed and is tried again after `delay`."""

    attempt: int
    delay: timedelta
    error: PromptFlowError


@dataclass(frozen=True, slots=True, kw_only=True)
class StepSkipped(StepEvent):
    """A step does not run."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Done(RunEvent, Generic[ExecutionT]):
    """The run has ended, well or not: `execution.status` tells. Always the last."""

    execution: ExecutionT


Event: TypeAlias = (
    Accepted[ExecutionT]
    | Started[ExecutionT]
    | StepStarted
    | StepProgress
    | StepOutput[OutputT]
    | StepCompleted[OutputT]
    | StepFailed
    | StepRetrying
    | StepSkipped
    | Done[ExecutionT]
)
