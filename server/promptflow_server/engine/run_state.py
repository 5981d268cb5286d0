"""A run as the machine sees it: what is recorded, and what follows from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from promptflow_codegen.plan import FlowPlan, StepPlan
from promptflow_core.records import ExecutionRecord, StepRecord, StepStatus, step_path
from promptflow_core.values import NativeValue

LIVE = frozenset({StepStatus.RUNNING, StepStatus.RETRYING})
OVER = frozenset({StepStatus.COMPLETED, StepStatus.SKIPPED})
"""What a later step waits for; after any other end of a step the run has ended."""

MAX_LIVE_ITEMS = 512
"""Attempts of one for_each step at a time, where `max_parallel` sets no limit: more would not keep a pool busier."""


@dataclass(frozen=True, slots=True)
class Batch:
    """A for_each step under way: its list, the first item not begun, how many are done."""

    values: tuple[NativeValue, ...]
    next: int = 0
    done: int = 0
    live: int = 0


@dataclass(frozen=True, slots=True)
class RunState:
    """The state of one run in its owner's memory. All but `record` can be had again from it.

    `live` holds the attempts that run or wait to be retried, by path, with the step and the item that they belong
    to; `batches` the for_each steps under way; `fractions` how far running calls say they are, 0 to 1; `outputs` and
    `skipped` what templates read.
    """

    plan: FlowPlan
    record: ExecutionRecord
    server: str
    epoch: int
    live: Mapping[str, tuple[StepPlan, int | None]] = field(default_factory=dict[str, tuple[StepPlan, int | None]])
    batches: Mapping[str, Batch] = field(default_factory=dict[str, Batch])
    fractions: Mapping[str, float] = field(default_factory=dict[str, float])
    outputs: Mapping[str, NativeValue] = field(default_factory=dict[str, NativeValue])
    skipped: frozenset[str] = frozenset()

    @classmethod
    def of(cls, plan: FlowPlan, record: ExecutionRecord, *, server: str, epoch: int) -> RunState:
        """The state that follows from a record; the lists in `batches` are rendered, so they are a turn's work."""
        steps = record.steps
        live = {
            path: (step, item)
            for step in plan.steps
            for path, item in _paths(step, steps)
            if steps[path].status in LIVE and (item is not None or step.for_each is None)
        }
        outputs = {
            step.name: output_of(step, steps)
            for step in plan.steps
            if step.name in steps and steps[step.name].status is StepStatus.COMPLETED
        }
        skipped = frozenset(path for path, step in steps.items() if step.status is StepStatus.SKIPPED)
        return cls(plan, record, server, epoch, live=live, outputs=outputs, skipped=skipped)

    @property
    def wake_at_ms(self) -> int | None:
        """When something is due, or None where nothing but an answer can move the run."""
        if self.record.status.is_terminal:
            return None
        if any(self._can_begin(name, batch) for name, batch in self.batches.items()):
            return 0
        due = [self.record.steps[path].due_at_ms for path in self.live]
        return min(filter(None, [*due, self.record.deadline_at_ms]), default=None)

    def _can_begin(self, name: str, batch: Batch) -> bool:
        return batch.next < len(batch.values) and batch.live < item_limit(self.plan.step(name))


def item_limit(step: StepPlan) -> int:
    """How many items of a for_each step are live at a time."""
    return step.max_parallel or MAX_LIVE_ITEMS


def output_of(step: StepPlan, steps: Mapping[str, StepRecord]) -> NativeValue:
    """What a completed step gave: its output, or the outputs of its items in order."""
    if step.for_each is None:
        return steps[step.name].output
    return [steps[step_path(step.name, item)].output for item in range(steps[step.name].items_total)]


def _paths(step: StepPlan, steps: Mapping[str, StepRecord]) -> Iterator[tuple[str, int | None]]:
    if step.name not in steps:
        return
    yield step.name, None
    for item in range(max(steps[step.name].items_total, 0)):
        path = step_path(step.name, item)
        if path in steps:
            yield path, item
