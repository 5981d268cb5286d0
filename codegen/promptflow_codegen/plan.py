"""Execution plans: what the engine needs of a flow, and nothing of how it was written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from promptflow_core.retry import RetryPolicy
from promptflow_core.types import ObjectType

NO_RETRY = RetryPolicy(max_attempts=1)


MAX_CALL_DEPTH = 8
"""Flows inside flows inside a flow."""


@dataclass(frozen=True, slots=True)
class FlowRef:
    """One major version of a flow of the same bundle."""

    name: str
    version: int = 1

    def __str__(self) -> str:
        return self.name if self.version == 1 else f"{self.name}@{self.version}"


@dataclass(frozen=True, slots=True)
class StepPlan:
    """One step. Strings in `config`, `condition` and `for_each` may be templates.

    `needs` names every step that must be over first, written or inferred from templates; `queue` None runs inline.
    `items_name` is the name of the current item in templates; `max_parallel` 0 sets no limit.
    A step with a `flow` runs that flow as its own nested part of the run: its `config` holds the flow's inputs, its
    `output` is the flow's result, `executor` is "" and `pools` are those that the flow needs.
    `models` are those that the executor had where this was generated, for comparison alone.
    """

    name: str
    executor: str
    queue: str | None
    output: ObjectType
    config: Mapping[str, Any] = field(default_factory=dict[str, Any])
    needs: tuple[str, ...] = ()
    condition: str | None = None
    for_each: str | None = None
    items_name: str = "item"
    max_parallel: int = 0
    retry: RetryPolicy = NO_RETRY
    timeout_ms: int | None = None
    description: str = ""
    line: int = 0
    flow: FlowRef | None = None
    pools: tuple[str, ...] = ()
    models: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FlowPlan:
    """One major version of one flow. `steps` are in an order that respects `needs`.

    `result` types the result; `outputs` maps its fields to templates, None: one field per step, the step's output
    (for a for_each step: the list of the items' outputs). `output_lines` says on which line of `source` each
    is written.
    """

    name: str
    version: int
    package: str
    service: str
    inputs: ObjectType
    steps: tuple[StepPlan, ...]
    result: ObjectType
    outputs: Mapping[str, Any] | None = None
    timeout_ms: int | None = None
    description: str = ""
    source: str = ""
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    output_lines: Mapping[str, int] = field(default_factory=dict[str, int])

    def step(self, name: str) -> StepPlan:
        """The step called `name`.

        Raises:
            KeyError: there is none.
        """
        for step in self.steps:
            if step.name == name:
                return step
        raise KeyError(name)
