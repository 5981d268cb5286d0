"""How far a run is. Every step weighs the same; a for_each step is as far as its items are."""

from __future__ import annotations

from collections.abc import Mapping

from promptflow_codegen.plan import FlowPlan
from promptflow_core.records import Progress, StepRecord, StepStatus
from promptflow_server.engine.run_state import LIVE, OVER, Batch


def progress_of(
    plan: FlowPlan,
    steps: Mapping[str, StepRecord],
    *,
    batches: Mapping[str, Batch],
    fractions: Mapping[str, float],
    before: Progress,
) -> Progress:
    """The progress after a change; its percentage is never below the one `before`."""
    done = sum(_fraction(step.name, steps, batches, fractions) for step in plan.steps)
    percentage = round(100 * done / len(plan.steps), 1) if plan.steps else 100.0
    running = sorted(
        (step.name for step in plan.steps if step.name in steps and steps[step.name].status in LIVE),
        key=lambda name: steps[name].started_at_ms,
    )
    return Progress(max(percentage, before.percentage), running[-1] if running else "", tuple(running))


def _fraction(
    name: str, steps: Mapping[str, StepRecord], batches: Mapping[str, Batch], fractions: Mapping[str, float]
) -> float:
    record = steps.get(name)
    if record is None:
        return 0.0
    if record.status in OVER:
        return 1.0
    batch = batches.get(name)
    if batch is not None:
        return batch.done / len(batch.values)
    return fractions.get(name, 0.0) if record.status is StepStatus.RUNNING else 0.0
