"""The next state of a run while a turn makes it, and what the turn has to write and to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from promptflow_core.errors import ErrorRecord
from promptflow_core.records import EventKind, EventRecord, ExecutionStatus, Progress, StepRecord
from promptflow_core.values import NativeValue
from promptflow_server.engine.progress import fraction_of, progress_of
from promptflow_server.engine.run_state import OVER, Frame, Place, RunState
from promptflow_server.engine.scope import Scope
from promptflow_server.engine.step_records import StepRecords, StepWrites
from promptflow_server.engine.transitions import Announce, Command, Commit
from promptflow_server.store.records import HeadChange


class Draft:
    """Mutable for the length of one turn; holds no rule.

    Of what grows with the run, its steps, nothing is copied; all else is bounded by what may be live at a time.
    """

    def __init__(self, state: RunState, now_ms: int) -> None:
        self._before = state
        self._progress = state.record.progress
        self._head = HeadChange()
        self._events: list[EventRecord] = []
        self._commands: list[Command] = []
        self._scopes: dict[str, Scope] = {}
        self._moved = {""}
        self.now_ms = now_ms
        self.record = state.record
        self.server, self.epoch = state.server, state.epoch
        self.steps = StepWrites(StepRecords.of(state.record.steps))
        self.frames = dict(state.frames)
        self.live = dict(state.live)
        self.due = dict(state.due)
        self.fan_outs = dict(state.fan_outs)
        self.fractions = dict(state.fractions)
        self.touched = dict.fromkeys(state.touched)

    @property
    def has_ended(self) -> bool:
        return self.record.status.is_terminal

    def is_over(self, path: str) -> bool:
        return path in self.steps and self.steps[path].status in OVER

    def scope(self, prefix: str) -> Scope:
        found = self._scopes.get(prefix)
        if found is None:
            frame = self.frames[prefix]
            found = self._scopes[prefix] = Scope.of(
                self.record, frame.plan, inputs=frame.inputs, steps=frame.outputs, skipped=frame.skipped
            )
        return found

    def write(self, record: StepRecord) -> None:
        self.steps.write(record)
        if record.due_at_ms:
            self.due[record.path] = record.due_at_ms
        else:
            self.due.pop(record.path, None)
        if "/" not in record.path:
            self._moved.add("")  # progress names what runs

    def open(self, frame: Frame) -> None:
        """A step runs a flow from now on, or the inputs of that flow are there."""
        self.frames[frame.prefix] = frame
        self._scopes.pop(frame.prefix, None)
        self.touched[frame.prefix] = None
        self._moved.add(frame.prefix)

    def close(self, prefix: str) -> None:
        """The flow that a step ran is over."""
        del self.frames[prefix]
        self.touched.pop(prefix, None)
        self._scopes.pop(prefix, None)
        self._moved.discard(prefix)

    def settle(self, place: Place) -> None:
        """An attempt is over."""
        self.live.pop(place.path, None)
        self.reach(place, 0.0)

    def reach(self, place: Place, fraction: float) -> None:
        """An attempt is so far, 0 to 1."""
        before = self.fractions.pop(place.path, 0.0)
        if fraction:
            self.fractions[place.path] = fraction
        fan_out = self.fan_outs.get(place.step_path)
        if fan_out is not None and place.item is not None and fraction != before:
            self.fan_outs[place.step_path] = replace(fan_out, partial=fan_out.partial + fraction - before)
        self._moved.add(place.prefix)

    def give(self, place: Place, output: NativeValue) -> None:
        """A step has an output from now on."""
        frame = self.frames[place.prefix]
        self.open(replace(frame, outputs={**frame.outputs, place.step.name: output}))

    def skip(self, place: Place) -> None:
        """A step is over without an output."""
        frame = self.frames[place.prefix]
        self.open(replace(frame, skipped=frame.skipped | {place.step.name}))

    def command(self, command: Command) -> None:
        self._commands.append(command)

    def emit(
        self,
        kind: EventKind,
        place: Place | None = None,
        *,
        attempt: int = 0,
        output: NativeValue = None,
        error: ErrorRecord | None = None,
        delay_ms: int = 0,
        reason: str = "",
    ) -> None:
        """Add a stored event."""
        self._events.append(
            EventRecord(
                self.record.execution_id,
                self.record.sequence + len(self._events) + 1,
                self.now_ms,
                kind,
                progress=self._look_at_progress(),
                step="" if place is None else place.step_path,
                item=None if place is None else place.item,
                attempt=attempt,
                output=output,
                error=error,
                delay_ms=delay_ms,
                reason=reason,
            )
        )

    def announce(self, place: Place, percentage: float, message: str) -> None:
        """Add a step_progress, which is not stored."""
        event = EventRecord(
            self.record.execution_id,
            0,
            self.now_ms,
            EventKind.STEP_PROGRESS,
            progress=self._look_at_progress(),
            step=place.step_path,
            item=place.item,
            percentage=percentage,
            message=message,
        )
        self._commands.append(Announce(event, self.record.sequence + len(self._events)))

    def start_run(self) -> None:
        self._change(status=ExecutionStatus.RUNNING, started_at_ms=self.now_ms)
        self._scopes.clear()
        self.emit(EventKind.STARTED)

    def end_run(
        self,
        status: ExecutionStatus,
        *,
        result: Mapping[str, NativeValue] | None = None,
        error: ErrorRecord | None = None,
    ) -> None:
        self.fan_outs.clear()
        self.touched.clear()
        self._moved = {""}
        self.frames = {"": self.frames[""]}
        self._change(status=status, finished_at_ms=self.now_ms, result=result, error=error)
        self.emit(EventKind.DONE)

    def finished(self) -> tuple[RunState, Commit | None, tuple[Command, ...]]:
        """The state after the turn, what to write and what to do."""
        progress = self._look_at_progress()
        commit = None
        written = self.steps.written
        if self._events or written or self._head != HeadChange():
            self._change(progress=progress, server=self.server)
            commit = Commit(self._head, written, tuple(self._events))
        sequence = self.record.sequence + len(self._events)
        state = replace(
            self._before,
            record=replace(self.record, steps=self.steps.finished(), progress=progress, sequence=sequence),
            frames=self.frames,
            live=self.live,
            due=self.due,
            fan_outs=self.fan_outs,
            fractions=self.fractions,
            touched=tuple(self.touched),
        )
        return state, commit, tuple(self._commands)

    def _change(self, **changes: Any) -> None:
        self._head = replace(self._head, **{name: value for name, value in changes.items() if value is not None})
        self.record = self._head.applied_to(self.record)

    def _look_at_progress(self) -> Progress:
        """The progress, after each flow in which something moved has told its caller."""
        fraction = None
        while self._moved:
            prefix = max(self._moved, key=len)
            self._moved.remove(prefix)
            frame = self.frames[prefix]
            fraction = fraction_of(frame, self.steps, self.fan_outs, self.fractions)
            if frame.caller is not None:
                self.reach(frame.caller, fraction)
        if fraction is not None:
            self._progress = progress_of(self.frames[""].plan, fraction, self.steps, self._progress)
        return self._progress
