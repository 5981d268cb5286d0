"""What the READMEs of all languages share: which flow is the example, and values for its inputs."""

from __future__ import annotations

from collections.abc import Sequence

from promptflow_codegen.plan import FlowPlan
from promptflow_core.types import FieldType, Kind, scalar

_EASY = tuple(map(scalar, (Kind.STRING, Kind.INTEGER, Kind.INT32, Kind.NUMBER, Kind.BOOLEAN)))


def example_flow(plans: Sequence[FlowPlan]) -> FlowPlan:
    """The flow that a newcomer sees first: the one with the fewest inputs to fill in, of its latest version."""
    latest = {plan.name: plan for plan in sorted(plans, key=lambda plan: plan.version)}
    return min(latest.values(), key=_effort)


def _effort(plan: FlowPlan) -> tuple[int, int, str]:
    inputs = example_inputs(plan)
    return len(inputs), sum(field.type not in _EASY for field in inputs), plan.name


def example_inputs(plan: FlowPlan) -> Sequence[FieldType]:
    """The inputs that a call cannot leave out."""
    return [field for field in plan.inputs.fields if field.required and field.default is None]
