"""A run as the machine sees it: what is recorded, and what follows from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from promptflow_codegen.plan import FlowPlan, StepPlan
from promptflow_core.records import ExecutionRecord, StepRecord, StepStatus
from promptflow_core.values import NativeValue
from promptflow_server.engine.program import Program
from promptflow_server.engine.step_records import StepRecords

LIVE = frozenset({StepStatus.RUNNING, StepStatus.RETRYING})
OVER = frozenset({StepStatus.COMPLETED, StepStatus.SKIPPED})
"""What a later step waits for; after any other end of a step its flow has ended."""

MAX_LIVE_ITEMS = 512
"""Attempts of one for_each step at a time, where `max_parallel` sets no limit: more would not keep a pool busier."""

MAX_LIVE = 2048
"""Attempts of a run at a time, from which each for_each step has one item live."""


@dataclass(frozen=True, slots=True)
class Place:
    """A step in the course of a run, or one item of it: what attempts are made of. `prefix` is its frame's."""

    prefix: str
    step: StepPlan
    item: int | None = None

    @property
    def step_path(self) -> str:
        """The key of the step's record."""
        return f"{self.prefix}{self.step.name}"

    @property
    def path(self) -> str:
        """The key of its own record."""
        return self.step_path if self.item is None else f"{self.step_path}/{self.item}"


@dataclass(frozen=True, slots=True)
class Frame:
    """A flow in the course of a run: the run's own, or one that a step runs, the `caller`.

    The paths of its steps begin with `prefix`. `outputs` and `skipped` are what its templates read. `item` is the item
    of a for_each step that all of it is a part of, the outermost where several are.
    """

    program: Program
    prefix: str = ""
    caller: Place | None = None
    item: Place | None = None
    inputs: Mapping[str, NativeValue] = field(default_factory=dict[str, NativeValue])
    outputs: Mapping[str, NativeValue] = field(default_factory=dict[str, NativeValue])
    skipped: frozenset[str] = frozenset()

    @property
    def plan(self) -> FlowPlan:
        """The plan of its flow."""
        return self.program.plan

    def below(self, caller: Place, attempt: int, inputs: Mapping[str, NativeValue]) -> Frame:
        """The frame of an attempt of one of its steps."""
        item = self.item or (caller if caller.item is not None else None)
        return Frame(self.program.callee(caller.step), frame_prefix(caller.path, attempt), caller, item, inputs)


@dataclass(frozen=True, slots=True)
class FanOut:
    """A for_each step under way: its list, the first item not begun, how many are done.

    `partial` is how far the live items are together, as a number of items.
    """

    place: Place
    values: tuple[NativeValue, ...]
    next: int = 0
    done: int = 0
    live: int = 0
    partial: float = 0.0

    @property
    def fraction(self) -> float:
        """How far it is, 0 to 1."""
        return min(max(self.done + self.partial, 0.0) / len(self.values), 1.0) if self.values else 1.0

    def can_begin(self, live_in_run: int) -> bool:
        """Whether another item may begin, where the run has so many attempts live."""
        if self.next == len(self.values) or self.live >= item_limit(self.place.step):
            return False
        # One is always let through: items wait for those inside them.
        return self.live == 0 or live_in_run < MAX_LIVE


@dataclass(frozen=True, slots=True)
class RunState:
    """The state of one run in its owner's memory. All but `record` can be had again from it.

    `frames` holds the flows under way by prefix, each after the one that runs it; `live` the attempts that run or wait
    to be retried, by path; `due` when something of them is; `fan_outs` the for_each steps under way, by path;
    `fractions` how far attempts say they are, 0 to 1; `touched` the frames in which a step may begin.
    """

    program: Program
    record: ExecutionRecord
    server: str
    epoch: int
    frames: Mapping[str, Frame]
    live: Mapping[str, Place] = field(default_factory=dict[str, Place])
    due: Mapping[str, int] = field(default_factory=dict[str, int])
    fan_outs: Mapping[str, FanOut] = field(default_factory=dict[str, FanOut])
    fractions: Mapping[str, float] = field(default_factory=dict[str, float])
    touched: tuple[str, ...] = ()

    @classmethod
    def of(cls, program: Program, record: ExecutionRecord, *, server: str, epoch: int) -> RunState:
        """The state that follows from a record; lists and inputs inside it are rendered, so they are a turn's work."""
        frames: dict[str, Frame] = {}
        live: dict[str, Place] = {}
        waiting = [Frame(program, inputs=record.inputs)]
        while waiting:
            frame = waiting.pop()
            frames[frame.prefix] = _as_recorded(frame, record.steps)
            for place in _live_places(frame, record.steps):
                live[place.path] = place
                recorded = record.steps[place.path]
                if place.step.flow is not None and recorded.status is StepStatus.RUNNING:
                    waiting.append(frame.below(place, recorded.attempt, {}))
        due = {path: record.steps[path].due_at_ms for path in live if record.steps[path].due_at_ms}
        kept = replace(record, steps=StepRecords.of(record.steps))
        return cls(program, kept, server, epoch, frames, live, due)

    @property
    def plan(self) -> FlowPlan:
        """The plan of the run's own flow."""
        return self.program.plan

    @property
    def wake_at_ms(self) -> int | None:
        """When something is due, or None where nothing but an answer can move the run."""
        if self.record.status.is_terminal:
            return None
        if self.touched or any(fan_out.can_begin(len(self.live)) for fan_out in self.fan_outs.values()):
            return 0
        return min(filter(None, [*self.due.values(), self.record.deadline_at_ms]), default=None)


def frame_prefix(path: str, attempt: int) -> str:
    """With what the paths of the steps begin that an attempt of the step at `path` runs: anew for each attempt."""
    return f"{path}/" if attempt == 1 else f"{path}@{attempt}/"


def item_limit(step: StepPlan) -> int:
    """How many items of a for_each step are live at a time."""
    return step.max_parallel or MAX_LIVE_ITEMS


def output_of(place: Place, steps: Mapping[str, StepRecord]) -> NativeValue:
    """What a completed step gave: its output, or the outputs of its items in order."""
    path = place.step_path
    if place.step.for_each is None:
        return steps[path].output
    return [steps[f"{path}/{item}"].output for item in range(steps[path].items_total)]


def _as_recorded(frame: Frame, steps: Mapping[str, StepRecord]) -> Frame:
    outputs: dict[str, NativeValue] = {}
    skipped: set[str] = set()
    for step in frame.plan.steps:
        place = Place(frame.prefix, step)
        recorded = steps.get(place.path)
        if recorded is not None and recorded.status is StepStatus.COMPLETED:
            outputs[step.name] = output_of(place, steps)
        elif recorded is not None and recorded.status is StepStatus.SKIPPED:
            skipped.add(step.name)
    return replace(frame, outputs=outputs, skipped=frozenset(skipped))


def _live_places(frame: Frame, steps: Mapping[str, StepRecord]) -> Iterator[Place]:
    for step in frame.plan.steps:
        place = Place(frame.prefix, step)
        recorded = steps.get(place.path)
        if recorded is None:
            continue
        items = (Place(frame.prefix, step, item) for item in range(max(recorded.items_total, 0)))
        for one in [place] if step.for_each is None else items:
            if one.path in steps and steps[one.path].status in LIVE:
                yield one
