"""What the READMEs of all languages share: the table of flows, which flow is the example, and its inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from promptflow_codegen.plan import FlowPlan
from promptflow_core.types import FieldType, Kind, scalar

_EASY = tuple(map(scalar, (Kind.STRING, Kind.INTEGER, Kind.INT32, Kind.NUMBER, Kind.BOOLEAN)))


def encoded(texts: Mapping[str, str]) -> Mapping[str, bytes]:
    """Texts as the files of a package, sorted by path."""
    return {path: texts[path].encode() for path in sorted(texts)}


def flow_rows(plans: Sequence[FlowPlan]) -> str:
    """A row of a Markdown table for each flow: its name and version, and what it does."""
    return "\n".join(f"| `{plan.name}` v{plan.version} | {_cell(plan.description)} |" for plan in plans)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|") or "—"


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
