"""How far a run is. Every step of a flow weighs the same; one that runs a flow is as far as that flow is, a for_each
step as far as its items are together."""

from __future__ import annotations

from collections.abc import Mapping

from promptflow_codegen.plan import FlowPlan
from promptflow_core.records import Progress, StepRecord, StepStatus
from promptflow_server.engine.run_state import LIVE, OVER, FanOut, Frame


def progress_of(plan: FlowPlan, fraction: float, steps: Mapping[str, StepRecord], before: Progress) -> Progress:
    """The progress of a run that is so far; its percentage is never below the one `before`."""
    running = sorted(
        (step.name for step in plan.steps if step.name in steps and steps[step.name].status in LIVE),
        key=lambda name: steps[name].started_at_ms,
    )
    percentage = round(100 * fraction, 1)
    return Progress(max(percentage, before.percentage), running[-1] if running else "", tuple(running))


def fraction_of(
    frame: Frame, steps: Mapping[str, StepRecord], fan_outs: Mapping[str, FanOut], fractions: Mapping[str, float]
) -> float:
    """How far a flow is, 0 to 1."""
    paths = [f"{frame.prefix}{step.name}" for step in frame.plan.steps]
    return sum(_fraction(path, steps, fan_outs, fractions) for path in paths) / len(paths) if paths else 1.0


def _fraction(
    path: str, steps: Mapping[str, StepRecord], fan_outs: Mapping[str, FanOut], fractions: Mapping[str, float]
) -> float:
    record = steps.get(path)
    if record is None:
        return 0.0
    if record.status in OVER:
        return 1.0
    fan_out = fan_outs.get(path)
    if fan_out is not None:
        return fan_out.fraction
    return fractions.get(path, 0.0) if record.status is StepStatus.RUNNING else 0.0
