"""The next state of a run while a turn makes it, and what the turn has to write and to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from promptflow_core.errors import ErrorRecord
from promptflow_core.records import EventKind, EventRecord, ExecutionStatus, Progress, StepRecord
from promptflow_core.values import NativeValue
from promptflow_server.engine.progress import progress_of
from promptflow_server.engine.run_state import OVER, RunState
from promptflow_server.engine.scope import Scope
from promptflow_server.engine.transitions import Announce, Command, Commit
from promptflow_server.store.records import HeadChange


class Draft:
    """Mutable for the length of one turn; holds no rule."""

    def __init__(self, state: RunState, now_ms: int) -> None:
        self._before = state
        self._progress = state.record.progress
        self._head = HeadChange()
        self._written: dict[str, StepRecord] = {}
        self._events: list[EventRecord] = []
        self._commands: list[Command] = []
        self._scope: Scope | None = None
        self._outputs, self._skipped = state.outputs, state.skipped
        self.now_ms = now_ms
        self.plan = state.plan
        self.record = state.record
        self.server, self.epoch = state.server, state.epoch
        self.steps = dict(state.record.steps)
        self.live = dict(state.live)
        self.batches = dict(state.batches)
        self.fractions = dict(state.fractions)

    @property
    def has_ended(self) -> bool:
        return self.record.status.is_terminal

    def is_over(self, name: str) -> bool:
        return name in self.steps and self.steps[name].status in OVER

    def scope(self) -> Scope:
        if self._scope is None:
            self._scope = Scope.of(self.record, self._outputs, self._skipped)
        return self._scope

    def write(self, record: StepRecord) -> None:
        self.steps[record.path] = self._written[record.path] = record

    def settle(self, path: str) -> None:
        """An attempt is over."""
        self.live.pop(path, None)
        self.fractions.pop(path, None)

    def give(self, name: str, output: NativeValue) -> None:
        """A step has an output from now on."""
        self._outputs = {**self._outputs, name: output}
        self._scope = None

    def skip(self, name: str) -> None:
        self._skipped |= {name}
        self._scope = None

    def command(self, command: Command) -> None:
        self._commands.append(command)

    def emit(
        self,
        kind: EventKind,
        *,
        step: str = "",
        item: int | None = None,
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
                step=step,
                item=item,
                attempt=attempt,
                output=output,
                error=error,
                delay_ms=delay_ms,
                reason=reason,
            )
        )

    def announce(self, step: str, item: int | None, percentage: float, message: str) -> None:
        """Add a step_progress, which is not stored."""
        event = EventRecord(
            self.record.execution_id,
            0,
            self.now_ms,
            EventKind.STEP_PROGRESS,
            progress=self._look_at_progress(),
            step=step,
            item=item,
            percentage=percentage,
            message=message,
        )
        self._commands.append(Announce(event, self.record.sequence + len(self._events)))

    def start_run(self) -> None:
        self._change(status=ExecutionStatus.RUNNING, started_at_ms=self.now_ms)
        self._scope = None
        self.emit(EventKind.STARTED)

    def end_run(
        self,
        status: ExecutionStatus,
        *,
        result: Mapping[str, NativeValue] | None = None,
        error: ErrorRecord | None = None,
    ) -> None:
        self.batches.clear()
        self._change(status=status, finished_at_ms=self.now_ms, result=result, error=error)
        self.emit(EventKind.DONE)

    def finished(self) -> tuple[RunState, Commit | None, tuple[Command, ...]]:
        """The state after the turn, what to write and what to do."""
        progress = self._look_at_progress()
        commit = None
        if self._events or self._written or self._head != HeadChange():
            self._change(progress=progress, server=self.server)
            commit = Commit(self._head, tuple(self._written.values()), tuple(self._events))
        sequence = self.record.sequence + len(self._events)
        state = replace(
            self._before,
            record=replace(self.record, steps=self.steps, progress=progress, sequence=sequence),
            live=self.live,
            batches=self.batches,
            fractions=self.fractions,
            outputs=self._outputs,
            skipped=self._skipped,
        )
        return state, commit, tuple(self._commands)

    def _change(self, **changes: Any) -> None:
        self._head = replace(self._head, **{name: value for name, value in changes.items() if value is not None})
        self.record = self._head.applied_to(self.record)

    def _look_at_progress(self) -> Progress:
        self._progress = progress_of(
            self.plan, self.steps, batches=self.batches, fractions=self.fractions, before=self._progress
        )
        return self._progress
