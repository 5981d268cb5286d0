"""What happens to a run: (state, events) -> (state, commit, commands). Pure: no I/O, and time and chance come in.

A turn takes the events that are there, then what is due, then begins every step whose needs are over. Its commit is
written first and its commands are performed after that, so that an attempt is recorded before it is put, and a result
is recorded before it is acknowledged.

How a run ends: the first step that fails for good fails the run; what was running is CANCELLED, what had not begun
has no record and so stays PENDING. A cancelled or timed-out run leaves its steps the same way. A flow that a step runs
ends like a run, and is that attempt of the step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from promptflow_core.errors import ErrorRecord, FlowError, Reason
from promptflow_core.records import EventKind, ExecutionStatus, StepRecord, StepStatus
from promptflow_server.engine.attempts import Attempts
from promptflow_server.engine.draft import Draft
from promptflow_server.engine.ending import end_run
from promptflow_server.engine.fan_out import FanOuts
from promptflow_server.engine.run_state import LIVE, OVER, Frame, Place, RunState
from promptflow_server.engine.transitions import (
    CallFinished,
    CallProgressed,
    CancelRequested,
    Command,
    Commit,
    Opened,
    RunEvent,
)

MAX_OPENS = 5
"""A run that was opened this often and never moved on takes its owners down with it."""


@dataclass(frozen=True, slots=True)
class Transition:
    """One turn: the state after it, what to write (None: nothing changed), then what to do."""

    state: RunState
    commit: Commit | None
    commands: tuple[Command, ...]


def advance(state: RunState, events: Sequence[RunEvent], *, now_ms: int, rng: Random) -> Transition:
    """Take one turn. Answers to attempts that are over are acknowledged and otherwise ignored."""
    turn = _Turn(state, now_ms, rng)
    for event in events:
        turn.take(event)
    turn.take_what_is_due()
    turn.go_on()
    return Transition(*turn.draft.finished())


def abandon(state: RunState, error: ErrorRecord, *, now_ms: int) -> Transition:
    """End a run with which the engine cannot go on."""
    draft = Draft(state, now_ms)
    if not draft.has_ended:
        end_run(draft, ExecutionStatus.FAILED, error)
    return Transition(*draft.finished())


class _Turn:
    """The rules, applied to a draft of the next state."""

    def __init__(self, state: RunState, now_ms: int, rng: Random) -> None:
        self.draft = Draft(state, now_ms)
        self._attempts = Attempts(self.draft, rng)
        self._fan_outs = FanOuts(self.draft, self._attempts)

    def take(self, event: RunEvent) -> None:
        match event:
            case CallFinished():
                self._attempts.call_finished(event)
            case _ if self.draft.has_ended:
                pass
            case Opened(opens=opens):
                self._opened(opens)
            case CallProgressed():
                self._attempts.call_progressed(event)
            case CancelRequested():
                error = ErrorRecord(Reason.EXECUTION_CANCELLED, "the run was cancelled on request")
                end_run(self.draft, ExecutionStatus.CANCELLED, error)

    def take_what_is_due(self) -> None:
        draft = self.draft
        if draft.has_ended:
            return
        if 0 < draft.record.deadline_at_ms <= draft.now_ms:
            self._attempts.run_timed_out()
            return
        for path in [path for path, due_at_ms in draft.due.items() if due_at_ms <= draft.now_ms]:
            if draft.has_ended:
                return
            place = draft.live.get(path)
            if place is None:  # the flow around it has ended meanwhile
                continue
            if draft.steps[path].status is StepStatus.RETRYING:
                self._attempts.start(place, draft.steps[path].attempt + 1)
            else:
                self._attempts.time_out(place)

    def go_on(self) -> None:
        """Begin what can begin, flow by flow; a plan's order respects needs, so one pass sees every consequence."""
        self._go_on_with_fan_outs()
        while self.draft.touched and self._fan_outs.may_begin > 0:
            while self.draft.touched and self._fan_outs.may_begin > 0:
                prefix = next(iter(self.draft.touched))
                del self.draft.touched[prefix]
                self._go_on_in(self.draft.frames[prefix])
            # A flow that was over at once may have been the last item of a list.
            self._go_on_with_fan_outs()

    def _go_on_with_fan_outs(self) -> None:
        for path in list(self.draft.fan_outs):
            self._fan_outs.go_on(path)

    def _go_on_in(self, frame: Frame) -> None:
        draft = self.draft
        if frame.caller is not None:
            self._fan_outs.may_begin -= 1
        for step in frame.plan.steps:
            place = Place(frame.prefix, step)
            if place.path not in draft.steps and all(draft.is_over(f"{frame.prefix}{need}") for need in step.needs):
                self._begin(place)
                if draft.has_ended or frame.prefix not in draft.frames:
                    return
        states = {step.name: draft.steps.get(f"{frame.prefix}{step.name}") for step in frame.plan.steps}
        waiting = [name for name, record in states.items() if record is None or record.status not in OVER]
        if not waiting:
            self._attempts.complete_flow(draft.frames[frame.prefix])
        elif not any(record is not None and record.status in LIVE for record in states.values()):
            message = f"steps {', '.join(waiting)} wait for what is not in the plan; run `promptflow generate`"
            self._attempts.end_flow(draft.frames[frame.prefix], ErrorRecord(Reason.INTERNAL, message))

    def _opened(self, opens: int) -> None:
        draft = self.draft
        if opens > MAX_OPENS:
            message = f"{MAX_OPENS} servers opened the run and none of them moved it on"
            end_run(draft, ExecutionStatus.FAILED, ErrorRecord(Reason.CRASH_LOOP, message))
            return
        draft.touched[""] = None
        if draft.record.status is ExecutionStatus.QUEUED:
            draft.start_run()
            return
        for frame in list(draft.frames.values()):
            if not draft.has_ended and frame.prefix in draft.frames:
                self._reopen(frame)
        for path, place in list(draft.live.items()):
            is_call = place.step.flow is None and draft.steps[path].status is StepStatus.RUNNING
            if not draft.has_ended and path in draft.live and is_call:
                self._attempts.put_again(place)

    def _reopen(self, frame: Frame) -> None:
        """What follows from the record and has to be rendered; what is inside items comes after their list."""
        draft = self.draft
        if frame.caller is not None:
            self._attempts.reopen(frame, frame.caller)
        for step in frame.plan.steps:
            if draft.has_ended or frame.prefix not in draft.frames:
                return
            record = draft.steps.get(f"{frame.prefix}{step.name}")
            if record is not None and record.status in LIVE and step.for_each is not None:
                self._fan_outs.resume(Place(frame.prefix, step))

    def _begin(self, place: Place) -> None:
        draft, step = self.draft, place.step
        templates = draft.frames[place.prefix].program.templates
        try:
            if step.condition is not None and not templates.condition(step, draft.scope(place.prefix)):
                self._skip(place)
            elif step.for_each is None:
                self._attempts.start(place, 1)
            else:
                self._fan_outs.begin(place, templates.items(step, draft.scope(place.prefix)))
        except FlowError as error:
            self._attempts.give_up(place, 1, error.record)

    def _skip(self, place: Place) -> None:
        draft, now_ms = self.draft, self.draft.now_ms
        draft.write(StepRecord(place.path, StepStatus.SKIPPED, started_at_ms=now_ms, finished_at_ms=now_ms))
        draft.skip(place)
        if draft.frames[place.prefix].item is None:
            draft.emit(EventKind.STEP_SKIPPED, place, reason="its condition is false")
