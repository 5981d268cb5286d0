"""Where a run is, by the events of its stream. Pure: an event in, a new state out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

PROGRESS_KIND = "step_progress"
DONE_KIND = "done"


class StepPhase(StrEnum):
    """What a step does, in a word to show."""

    WAITING = "waiting"
    RUNNING = "running"
    RETRYING = "retrying"
    DONE = "done"
    SKIPPED = "skipped"
    FAILED = "failed"

    @property
    def is_over(self) -> bool:
        """The step will not do anything more."""
        return self in {StepPhase.DONE, StepPhase.SKIPPED, StepPhase.FAILED}


_PHASES = {
    "step_started": StepPhase.RUNNING,
    "step_completed": StepPhase.DONE,
    "step_failed": StepPhase.FAILED,
    "step_retrying": StepPhase.RETRYING,
    "step_skipped": StepPhase.SKIPPED,
}


@dataclass(frozen=True, slots=True)
class StepProgress:
    """One step. `items` is known at the end, and 0 for a step without any; times are the reader's, in seconds."""

    name: str
    phase: StepPhase = StepPhase.WAITING
    percentage: float = 0.0
    items: int = 0
    started_at: float | None = None
    ended_at: float | None = None
    message: str = ""

    def seconds(self, now: float) -> float | None:
        """How long it ran, or has run until `now`; None before it starts."""
        if self.started_at is None:
            return None
        return (self.ended_at if self.ended_at is not None else now) - self.started_at


@dataclass(frozen=True, slots=True)
class ShownRun:
    """A run as its stream has told it so far; `execution` is there at the end."""

    execution_id: str = ""
    percentage: float = 0.0
    steps: Mapping[str, StepProgress] = field(default_factory=dict[str, StepProgress])
    execution: Mapping[str, Any] | None = None

    @classmethod
    def of_steps(cls, names: Iterable[str]) -> ShownRun:
        """A run that has not begun, of a flow with these steps."""
        return cls(steps={name: StepProgress(name) for name in names})

    def with_event(self, event: Mapping[str, Any], now: float) -> ShownRun:
        """The state after one `Event`, as JSON, that arrived at `now`."""
        progress = nested(event, "progress")
        state = replace(
            self,
            execution_id=event.get("execution_id", self.execution_id),
            percentage=max(self.percentage, float(progress.get("percentage", 0.0))),
        )
        if DONE_KIND in event:
            return state._with_end(event[DONE_KIND])
        for kind in (*_PHASES, PROGRESS_KIND):
            if kind in event:
                return state._with_step(kind, event[kind], now)
        return state

    def _with_step(self, kind: str, body: Mapping[str, Any], now: float) -> ShownRun:
        name = str(body["step"])
        before = self.steps.get(name, StepProgress(name))
        if kind == PROGRESS_KIND:
            after = _with_progress(before, body)
        elif "item" in body:
            # An item's failure or retry is not its step's.
            after = replace(before, message=_error_of(body) or before.message)
        else:
            after = _with_phase(before, _PHASES[kind], body, now)
        return replace(self, steps={**self.steps, name: after})

    def _with_end(self, execution: Mapping[str, Any]) -> ShownRun:
        views = nested(execution, "steps")
        steps = {
            name: replace(step, items=len(nested(views, name).get("items", ()))) for name, step in self.steps.items()
        }
        return replace(self, execution=execution, steps=steps)


def nested(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The object under `name` of a JSON object, empty where there is none."""
    value: Mapping[str, Any] | None = document.get(name)
    return value or {}


def _with_progress(step: StepProgress, body: Mapping[str, Any]) -> StepProgress:
    percentage = max(step.percentage, float(body.get("percentage", 0.0)))
    return replace(step, percentage=percentage, message=str(body.get("message") or step.message))


def _with_phase(step: StepProgress, phase: StepPhase, body: Mapping[str, Any], now: float) -> StepProgress:
    return replace(
        step,
        phase=phase,
        percentage=100.0 if phase is StepPhase.DONE else step.percentage,
        started_at=now if step.started_at is None and phase is not StepPhase.SKIPPED else step.started_at,
        ended_at=now if phase.is_over else None,
        message=_error_of(body) or str(body.get("reason", "")),
    )


def _error_of(body: Mapping[str, Any]) -> str:
    return str(nested(body, "error").get("message", ""))
