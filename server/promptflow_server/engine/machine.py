"""What happens to a run: (state, events) -> (state, commit, commands). Pure: no I/O, and time and chance come in.

A turn takes the events that are there, then what is due, then begins every step whose needs are over. Its commit is
written first and its commands are performed after that, so that an attempt is recorded before it is put, and a result
is recorded before it is acknowledged.

How a run ends: the first step that fails for good fails the run; what was running is CANCELLED, what had not begun
has no record and so stays PENDING. A cancelled or timed-out run leaves its steps the same way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

from promptflow_codegen.plan import StepPlan
from promptflow_core.errors import ErrorRecord, FlowError, Reason
from promptflow_core.records import Call, EventKind, ExecutionStatus, StepRecord, StepStatus, step_path
from promptflow_core.retry import backoff_ms
from promptflow_core.values import NativeValue
from promptflow_server.engine.draft import Draft
from promptflow_server.engine.ending import attempt_id, end_run, located
from promptflow_server.engine.run_state import LIVE, Batch, RunState, item_limit, output_of
from promptflow_server.engine.scope import Item, Renderer
from promptflow_server.engine.transitions import (
    AckCall,
    CallFinished,
    CallProgressed,
    CancelCall,
    CancelRequested,
    Command,
    Commit,
    Opened,
    RunEvent,
    StartCall,
)

MAX_OPENS = 5
"""A run that was opened this often and never moved on takes its owners down with it."""

ITEMS_PER_TURN = 64
"""Items that one turn begins, so that none takes long; the next turn follows at once."""


@dataclass(frozen=True, slots=True)
class Transition:
    """One turn: the state after it, what to write (None: nothing changed), then what to do."""

    state: RunState
    commit: Commit | None
    commands: tuple[Command, ...]


def advance(state: RunState, events: Sequence[RunEvent], *, renderer: Renderer, now_ms: int, rng: Random) -> Transition:
    """Take one turn. Answers to attempts that are over are acknowledged and otherwise ignored."""
    turn = _Turn(state, renderer, now_ms, rng)
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

    def __init__(self, state: RunState, renderer: Renderer, now_ms: int, rng: Random) -> None:
        self.draft = Draft(state, now_ms)
        self._plan = state.plan
        self._renderer = renderer
        self._now_ms = now_ms
        self._rng = rng
        self._may_begin = ITEMS_PER_TURN

    def take(self, event: RunEvent) -> None:
        match event:
            case CallFinished():
                self._call_finished(event)
            case _ if self.draft.has_ended:
                pass
            case Opened(opens=opens):
                self._opened(opens)
            case CallProgressed():
                self._call_progressed(event)
            case CancelRequested():
                error = ErrorRecord(Reason.EXECUTION_CANCELLED, "the run was cancelled on request")
                end_run(self.draft, ExecutionStatus.CANCELLED, error)

    def take_what_is_due(self) -> None:
        draft = self.draft
        if draft.has_ended:
            return
        if 0 < draft.record.deadline_at_ms <= self._now_ms:
            self._run_timed_out()
            return
        for path in [path for path in draft.live if 0 < draft.steps[path].due_at_ms <= self._now_ms]:
            if draft.has_ended or path not in draft.live:
                return
            step, item = draft.live[path]
            record = draft.steps[path]
            if record.status is StepStatus.RETRYING:
                self._start_attempt(step, item, record.attempt + 1)
            else:
                draft.command(CancelCall(step.queue, attempt_id(draft, step, item, record.attempt)))
                message = f"no answer within the step's timeout of {(step.timeout_ms or 0) / 1000:g} s"
                self._attempt_failed(step, item, ErrorRecord(Reason.STEP_TIMEOUT, message))

    def go_on(self) -> None:
        """Begin what can begin; the plan's order respects needs, so one pass sees every consequence."""
        draft = self.draft
        for name in list(draft.batches):
            self._go_on_with_batch(self._plan.step(name))
        for step in self._plan.steps:
            if draft.has_ended:
                return
            if step.name not in draft.steps and all(draft.is_over(need) for need in step.needs):
                self._begin(step)
        if draft.has_ended or draft.live or draft.batches:
            return
        waiting = [step.name for step in self._plan.steps if not draft.is_over(step.name)]
        if waiting:
            message = f"steps {', '.join(waiting)} wait for what is not in the plan; run `promptflow generate`"
            end_run(draft, ExecutionStatus.FAILED, ErrorRecord(Reason.INTERNAL, message))
        else:
            self._complete()

    def _opened(self, opens: int) -> None:
        draft = self.draft
        if opens > MAX_OPENS:
            message = f"{MAX_OPENS} servers opened the run and none of them moved it on"
            end_run(draft, ExecutionStatus.FAILED, ErrorRecord(Reason.CRASH_LOOP, message))
            return
        if draft.record.status is ExecutionStatus.QUEUED:
            draft.start_run()
            return
        for step in self._plan.steps:
            record = draft.steps.get(step.name)
            if not draft.has_ended and record is not None and record.status in LIVE and step.for_each is not None:
                self._resume_batch(step)
        for path, (step, item) in list(draft.live.items()):
            if not draft.has_ended and draft.steps[path].status is StepStatus.RUNNING:
                self._put_again(step, item, draft.steps[path])

    def _begin(self, step: StepPlan) -> None:
        try:
            if step.condition is not None and not self._renderer.condition(step, self.draft.scope()):
                self._skip(step)
            elif step.for_each is None:
                self._start_attempt(step, None, 1)
            else:
                self._begin_batch(step, self._renderer.items(step, self.draft.scope()))
        except FlowError as error:
            self._step_failed(step, None, 1, error.record)

    def _skip(self, step: StepPlan) -> None:
        now = self._now_ms
        self.draft.write(StepRecord(step.name, StepStatus.SKIPPED, started_at_ms=now, finished_at_ms=now))
        self.draft.skip(step.name)
        self.draft.emit(EventKind.STEP_SKIPPED, step=step.name, reason="its condition is false")

    def _begin_batch(self, step: StepPlan, values: list[NativeValue]) -> None:
        record = StepRecord(
            step.name, StepStatus.RUNNING, attempt=1, started_at_ms=self._now_ms, items_total=len(values)
        )
        self.draft.write(record)
        self.draft.emit(EventKind.STEP_STARTED, step=step.name, attempt=1)
        self.draft.batches[step.name] = Batch(tuple(values))
        self._go_on_with_batch(step)

    def _resume_batch(self, step: StepPlan) -> None:
        draft = self.draft
        items = [step_path(step.name, item) for item in range(draft.steps[step.name].items_total)]
        begun = [path for path in items if path in draft.steps]
        done = sum(draft.steps[path].status is StepStatus.COMPLETED for path in begun)
        try:
            values = self._renderer.items(step, self.draft.scope())
        except FlowError as error:
            self._step_failed(step, None, 1, error.record)
            return
        draft.batches[step.name] = Batch(tuple(values), next=len(begun), done=done, live=len(begun) - done)

    def _go_on_with_batch(self, step: StepPlan) -> None:
        """Begin items up to the limit, or end the step where all are done."""
        draft = self.draft
        while not draft.has_ended and self._may_begin:
            batch = draft.batches[step.name]
            if batch.next == len(batch.values) or batch.live >= item_limit(step):
                break
            self._may_begin -= 1
            draft.batches[step.name] = replace(batch, next=batch.next + 1, live=batch.live + 1)
            self._start_attempt(step, batch.next, 1)
        if not draft.has_ended and draft.batches[step.name].done == len(draft.batches[step.name].values):
            del draft.batches[step.name]
            draft.write(
                replace(draft.steps[step.name], status=StepStatus.COMPLETED, finished_at_ms=self._now_ms, due_at_ms=0)
            )
            draft.give(step.name, output_of(step, draft.steps))
            draft.emit(EventKind.STEP_COMPLETED, step=step.name, attempt=1)

    def _start_attempt(self, step: StepPlan, item: int | None, attempt: int) -> None:
        draft = self.draft
        path = step_path(step.name, item)
        try:
            config = self._config(step, item)
        except FlowError as error:
            self._step_failed(step, item, attempt, error.record)
            return
        before = draft.steps.get(path, StepRecord(path, started_at_ms=self._now_ms))
        due_at_ms = self._now_ms + step.timeout_ms if step.timeout_ms else 0
        record = replace(before, status=StepStatus.RUNNING, attempt=attempt, due_at_ms=due_at_ms, error=None)
        draft.write(record)
        draft.live[path] = (step, item)
        if item is None:
            draft.emit(EventKind.STEP_STARTED, step=step.name, attempt=attempt)
        draft.command(StartCall(step.queue, self._call(step, item, record, config)))

    def _put_again(self, step: StepPlan, item: int | None, record: StepRecord) -> None:
        try:
            config = self._config(step, item)
        except FlowError as error:
            self._step_failed(step, item, record.attempt, error.record)
            return
        self.draft.command(StartCall(step.queue, self._call(step, item, record, config)))

    def _call_progressed(self, event: CallProgressed) -> None:
        found = self._live_attempt(event.call_id)
        if found is None:
            return
        step, item, _ = found
        percentage = min(max(event.percentage, 0.0), 100.0) if event.percentage == event.percentage else 0.0
        message = event.message
        if item is None:
            self.draft.fractions[step.name] = percentage / 100
        elif step.name in self.draft.batches:
            so_far = _so_far(self.draft.batches[step.name])
            message = f"{so_far}: {message}" if message else so_far
        self.draft.announce(step.name, item, percentage, message)

    def _call_finished(self, event: CallFinished) -> None:
        found = None if self.draft.has_ended else self._live_attempt(event.call_id)
        queue = found[0].queue if found else self._queue_of(event.call_id)
        if queue is not None:
            self.draft.command(AckCall(queue, event.call_id))
        if found is None:
            return
        step, item, record = found
        worker = event.worker or self.draft.server
        if event.error is not None:
            self.draft.write(replace(record, worker=worker))
            if event.error.reason is Reason.STEP_TIMEOUT and self._is_bound_by_the_run(record):
                self._run_timed_out()  # a worker does not know whose deadline it keeps
            else:
                self._attempt_failed(step, item, event.error)
        else:
            self._attempt_completed(step, item, replace(record, worker=worker, output=event.output))

    def _attempt_completed(self, step: StepPlan, item: int | None, record: StepRecord) -> None:
        draft = self.draft
        draft.write(replace(record, status=StepStatus.COMPLETED, finished_at_ms=self._now_ms, due_at_ms=0))
        draft.settle(record.path)
        if item is None:
            draft.give(step.name, record.output)
            draft.emit(EventKind.STEP_COMPLETED, step=step.name, attempt=record.attempt, output=record.output)
            return
        batch = draft.batches[step.name]
        batch = draft.batches[step.name] = replace(batch, done=batch.done + 1, live=batch.live - 1)
        draft.announce(step.name, item, round(100 * batch.done / len(batch.values), 1), _so_far(batch))

    def _attempt_failed(self, step: StepPlan, item: int | None, error: ErrorRecord) -> None:
        """Try again where the policy and the error allow it, else give the step up."""
        draft = self.draft
        record = draft.steps[step_path(step.name, item)]
        if not error.is_retryable or record.attempt >= step.retry.max_attempts:
            self._step_failed(step, item, record.attempt, error)
            return
        error = located(draft, error, step, item, record.attempt)
        delay_ms = max(backoff_ms(record.attempt, step.retry, self._rng), error.retry_after_ms or 0)
        due_at_ms = self._now_ms + max(delay_ms, 1)
        draft.fractions.pop(step.name, None)
        draft.write(replace(record, status=StepStatus.RETRYING, due_at_ms=due_at_ms, error=error))
        draft.emit(
            EventKind.STEP_RETRYING,
            step=step.name,
            item=item,
            attempt=record.attempt,
            delay_ms=delay_ms,
            error=error,
        )

    def _step_failed(self, step: StepPlan, item: int | None, attempt: int, error: ErrorRecord) -> None:
        """Record the failure of an item and of its step, or of a step; it is the end of the run."""
        draft = self.draft
        error = located(draft, error, step, item, attempt)
        for path, failed_item in [(step_path(step.name, item), item), (step.name, None)][item is None :]:
            before = draft.steps.get(path, StepRecord(path, attempt=attempt, started_at_ms=self._now_ms))
            draft.write(
                replace(before, status=StepStatus.FAILED, finished_at_ms=self._now_ms, due_at_ms=0, error=error)
            )
            draft.settle(path)
            draft.emit(EventKind.STEP_FAILED, step=step.name, item=failed_item, attempt=attempt, error=error)
        end_run(draft, ExecutionStatus.FAILED, error)

    def _complete(self) -> None:
        try:
            result = self._renderer.result(self.draft.scope())
        except FlowError as error:
            end_run(self.draft, ExecutionStatus.FAILED, error.record)
            return
        self.draft.end_run(ExecutionStatus.COMPLETED, result=result)

    def _config(self, step: StepPlan, item: int | None) -> bytes:
        if item is None:
            return self._renderer.config(step, self.draft.scope(), None)
        return self._renderer.config(step, self.draft.scope(), Item(self.draft.batches[step.name].values[item], item))

    def _call(self, step: StepPlan, item: int | None, record: StepRecord, config: bytes) -> Call:
        draft = self.draft
        deadline = min(filter(None, [record.due_at_ms, draft.record.deadline_at_ms]), default=0)
        return Call(
            id=attempt_id(draft, step, item, record.attempt),
            executor=step.executor,
            execution_id=draft.record.execution_id,
            step=step.name,
            item=item,
            attempt=record.attempt,
            config=config,
            deadline_at_ms=deadline,
            epoch=draft.epoch,
        )

    def _live_attempt(self, identity: str) -> tuple[StepPlan, int | None, StepRecord] | None:
        """The attempt that a call id names, if it is the one that runs."""
        _, name, item, attempt = identity.rsplit("/", 3)
        path = name if item == "-" else f"{name}/{item}"
        record = self.draft.steps.get(path)
        if path not in self.draft.live or record is None or record.status is not StepStatus.RUNNING:
            return None
        return (*self.draft.live[path], record) if record.attempt == int(attempt) else None

    def _queue_of(self, identity: str) -> str | None:
        name = identity.rsplit("/", 3)[1]
        return next((step.queue for step in self._plan.steps if step.name == name), None)

    def _is_bound_by_the_run(self, record: StepRecord) -> bool:
        deadline_at_ms = self.draft.record.deadline_at_ms
        return deadline_at_ms > 0 and not 0 < record.due_at_ms < deadline_at_ms

    def _run_timed_out(self) -> None:
        allowed_ms = self.draft.record.deadline_at_ms - self.draft.record.created_at_ms
        error = ErrorRecord(Reason.EXECUTION_TIMEOUT, f"the run did not end within {allowed_ms / 1000:g} s")
        end_run(self.draft, ExecutionStatus.FAILED, error)


def _so_far(batch: Batch) -> str:
    return f"{batch.done} of {len(batch.values)} items"
