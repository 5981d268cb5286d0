"""What the templates of a run can see."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from promptflow_codegen.plan import FlowPlan, StepPlan
from promptflow_core.records import ExecutionRecord
from promptflow_core.values import NativeValue


@dataclass(frozen=True, slots=True)
class Item:
    """The element of a for_each list that a config is rendered for."""

    value: NativeValue
    index: int


@dataclass(frozen=True, slots=True)
class Scope:
    """Recorded values alone, so that a template reads the same before and after a change of owner.

    `steps` holds the outputs of completed steps, a list of outputs for a for_each step; `skipped` names the steps
    that have none.
    """

    inputs: Mapping[str, NativeValue]
    steps: Mapping[str, NativeValue]
    skipped: frozenset[str]
    system: Mapping[str, NativeValue]

    @classmethod
    def of(
        cls,
        record: ExecutionRecord,
        plan: FlowPlan,
        *,
        inputs: Mapping[str, NativeValue],
        steps: Mapping[str, NativeValue],
        skipped: frozenset[str],
    ) -> Scope:
        """The scope of a flow in the course of a run, whose completed steps have these outputs."""
        system: dict[str, NativeValue] = {
            "execution_id": record.execution_id,
            "flow": plan.name,
            "version": plan.version,
            "started_at": datetime.fromtimestamp(record.started_at_ms / 1000, UTC),
        }
        return cls(inputs, steps, skipped, system)


class Renderer(Protocol):
    """The templates of one plan. Every method raises FlowError: TEMPLATE_FAILED or TEMPLATE_LIMIT."""

    def condition(self, step: StepPlan, scope: Scope) -> bool:
        """Whether the step runs."""
        ...

    def items(self, step: StepPlan, scope: Scope) -> list[NativeValue]:
        """The list that a for_each step goes over."""
        ...

    def config(self, step: StepPlan, scope: Scope, item: Item | None) -> bytes:
        """The config of one call, rendered, as msgpack."""
        ...

    def inputs(self, step: StepPlan, scope: Scope, item: Item | None) -> Mapping[str, NativeValue]:
        """What a step gives to the flow that it runs, rendered."""
        ...

    def result(self, scope: Scope) -> Mapping[str, NativeValue]:
        """The result of the flow, of the plan's result type. Raises OUTPUT_INVALID where it does not fit."""
        ...
