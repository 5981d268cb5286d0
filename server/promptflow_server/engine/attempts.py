"""Attempts of steps and items: begun, put again, completed, failed, tried again. An attempt is a call, or a flow."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from promptflow_core.errors import ErrorRecord, FlowError, Reason
from promptflow_core.records import EventKind, ExecutionStatus, StepRecord, StepStatus
from promptflow_core.retry import backoff_ms
from promptflow_server.engine.beginning import (
    config_of,
    deadlines,
    inputs_of,
    limit_of,
    opened_frame,
    start_call,
)
from promptflow_server.engine.draft import Draft
from promptflow_server.engine.ending import at_output, attempt_id, called, end_frame, end_run, located
from promptflow_server.engine.run_state import FanOut, Frame, Place, frame_prefix
from promptflow_server.engine.transitions import AckCall, CallFinished, CallProgressed, CancelCall


class Attempts:
    """The rules of attempts, applied to a draft."""

    def __init__(self, draft: Draft, rng: Random) -> None:
        self._draft = draft
        self._rng = rng

    def start(self, place: Place, attempt: int) -> None:
        """Record the attempt and begin it."""
        draft = self._draft
        try:
            begun = opened_frame(draft, place, attempt) if place.step.flow is not None else config_of(draft, place)
        except FlowError as error:
            self.give_up(place, attempt, error.record)
            return
        before = draft.steps.get(place.path, StepRecord(place.path, started_at_ms=draft.now_ms))
        limit_ms = limit_of(draft, place)
        due_at_ms = draft.now_ms + limit_ms if limit_ms else 0
        record = replace(before, status=StepStatus.RUNNING, attempt=attempt, due_at_ms=due_at_ms, error=None)
        draft.write(record)
        draft.live[place.path] = place
        if place.item is None and self._is_told(place):
            draft.emit(EventKind.STEP_STARTED, place, attempt=attempt)
        if isinstance(begun, Frame):
            draft.open(begun)
        else:
            draft.command(start_call(draft, place, record, begun))

    def put_again(self, place: Place) -> None:
        """Another owner had begun the call."""
        record = self._draft.steps[place.path]
        try:
            config = config_of(self._draft, place)
        except FlowError as error:
            self.give_up(place, record.attempt, error.record)
            return
        self._draft.command(start_call(self._draft, place, record, config))

    def reopen(self, frame: Frame, caller: Place) -> None:
        """Another owner had begun the flow that a step runs: its inputs are rendered from the same values again."""
        try:
            inputs = inputs_of(self._draft, caller, frame)
        except FlowError as error:
            self.give_up(caller, self._draft.steps[caller.path].attempt, error.record)
            return
        self._draft.open(replace(frame, inputs=inputs))

    def call_progressed(self, event: CallProgressed) -> None:
        """A call says how far it is."""
        found = self._live_attempt(event.call_id)
        if found is None:
            return
        place, _ = found
        percentage = min(max(event.percentage, 0.0), 100.0) if event.percentage == event.percentage else 0.0
        if place.item is None:
            self._draft.reach(place, percentage / 100)
        shown = self._draft.frames[place.prefix].item or place
        message = event.message
        if shown.item is not None and shown.step_path in self._draft.fan_outs:
            so_far = _so_far(self._draft.fan_outs[shown.step_path])
            message = f"{so_far}: {message}" if message else so_far
            percentage = percentage if shown is place else self._percentage(shown)
        self._draft.announce(shown, percentage, message)

    def call_finished(self, event: CallFinished) -> None:
        """A call answered; one that nobody waits for is acknowledged and otherwise ignored."""
        draft = self._draft
        found = None if draft.has_ended else self._live_attempt(event.call_id)
        step = found[0].step if found else draft.frames[""].program.step_at(self._path_of(event.call_id)[0])
        if step is not None and step.queue is not None:
            draft.command(AckCall(step.queue, event.call_id))
        if found is None:
            return
        place, record = found
        worker = event.worker or draft.server
        if event.error is None:
            self.complete(place, replace(record, worker=worker, output=event.output))
            return
        draft.write(replace(record, worker=worker))
        if event.error.reason is Reason.STEP_TIMEOUT:
            self._call_timed_out(place, event.error)
        else:
            self.fail(place, event.error)

    def complete(self, place: Place, record: StepRecord) -> None:
        """The attempt gave what is in the record."""
        draft = self._draft
        draft.write(replace(record, status=StepStatus.COMPLETED, finished_at_ms=draft.now_ms, due_at_ms=0))
        draft.settle(place)
        if place.item is None:
            draft.give(place, record.output)
            self.tell_completed(place, record)
            return
        fan_out = draft.fan_outs[place.step_path]
        draft.fan_outs[place.step_path] = replace(fan_out, done=fan_out.done + 1, live=fan_out.live - 1)
        self._announce_so_far(draft.frames[place.prefix].item or place)

    def tell_completed(self, place: Place, record: StepRecord) -> None:
        """Say that a step is over. Inside another flow it has no place for its output, inside an item no event."""
        draft = self._draft
        shown = draft.frames[place.prefix].item
        if shown is not None:
            self._announce_so_far(shown)
            return
        output = None if place.prefix else record.output
        draft.emit(EventKind.STEP_COMPLETED, place, attempt=record.attempt, output=output)

    def fail(self, place: Place, error: ErrorRecord) -> None:
        """Try again where the policy and the error allow it, else give the step up."""
        draft = self._draft
        record, retry = draft.steps[place.path], place.step.retry
        if not error.is_retryable or record.attempt >= retry.max_attempts:
            self.give_up(place, record.attempt, error)
            return
        self._close_frame(place, record.attempt)
        error = located(draft, error, place, record.attempt)
        delay_ms = max(backoff_ms(record.attempt, retry, self._rng), error.retry_after_ms or 0)
        due_at_ms = draft.now_ms + max(delay_ms, 1)
        draft.reach(place, 0.0)
        draft.write(replace(record, status=StepStatus.RETRYING, due_at_ms=due_at_ms, error=error))
        draft.emit(EventKind.STEP_RETRYING, place, attempt=record.attempt, delay_ms=delay_ms, error=error)

    def give_up(self, place: Place, attempt: int, error: ErrorRecord) -> None:
        """Record the failure of an item and of its step, or of a step: the end of the run, or of the flow around it."""
        draft = self._draft
        self._close_frame(place, attempt)
        error = located(draft, error, place, attempt)
        for one in [place] if place.item is None else [place, Place(place.prefix, place.step)]:
            before = draft.steps.get(one.path, StepRecord(one.path, attempt=attempt, started_at_ms=draft.now_ms))
            draft.write(
                replace(before, status=StepStatus.FAILED, finished_at_ms=draft.now_ms, due_at_ms=0, error=error)
            )
            draft.settle(one)
            draft.emit(EventKind.STEP_FAILED, one, attempt=attempt, error=error)
        self.end_flow(draft.frames[place.prefix], error)

    def end_flow(self, frame: Frame, error: ErrorRecord) -> None:
        """A flow failed: the run has, or the attempt of the step that runs the flow."""
        if frame.caller is None:
            end_run(self._draft, ExecutionStatus.FAILED, error)
            return
        self.fail(frame.caller, called(self._draft, frame.caller, error, frame.plan))

    def complete_flow(self, frame: Frame) -> None:
        """Every step of a flow is over."""
        draft = self._draft
        try:
            result = frame.program.templates.result(draft.scope(frame.prefix))
        except FlowError as error:
            self.end_flow(frame, at_output(error.record, frame.plan))
            return
        if frame.caller is None:
            draft.end_run(ExecutionStatus.COMPLETED, result=result)
            return
        draft.close(frame.prefix)
        self.complete(frame.caller, replace(draft.steps[frame.caller.path], output=dict(result), worker=draft.server))

    def time_out(self, place: Place) -> None:
        """The attempt did not end in time."""
        draft = self._draft
        if place.step.flow is None:
            identity = attempt_id(draft, place, draft.steps[place.path].attempt)
            draft.command(CancelCall(place.step.queue, identity))
        limit_ms = limit_of(draft, place) or 0
        message = f"no answer within the step's timeout of {limit_ms / 1000:g} s"
        self.fail(place, ErrorRecord(Reason.STEP_TIMEOUT, message))

    def run_timed_out(self) -> None:
        """The run did not end in time."""
        allowed_ms = self._draft.record.deadline_at_ms - self._draft.record.created_at_ms
        error = ErrorRecord(Reason.EXECUTION_TIMEOUT, f"the run did not end within {allowed_ms / 1000:g} s")
        end_run(self._draft, ExecutionStatus.FAILED, error)

    def _call_timed_out(self, place: Place, error: ErrorRecord) -> None:
        """A worker does not know whose deadline it keeps: its step's, that of a step around it, or the run's."""
        _, bound = min(deadlines(self._draft, place), key=lambda found: found[0], default=(0, place))
        if bound is None:
            self.run_timed_out()
        elif bound is place:
            self.fail(place, error)
        else:
            self.time_out(bound)

    def _close_frame(self, place: Place, attempt: int) -> None:
        if place.step.flow is not None:
            end_frame(self._draft, frame_prefix(place.path, attempt))

    def _is_told(self, place: Place) -> bool:
        """Whether what happens to a step is an event: items, and what they consist of, are progress."""
        return self._draft.frames[place.prefix].item is None

    def _announce_so_far(self, shown: Place) -> None:
        fan_out = self._draft.fan_outs[shown.step_path]
        self._draft.announce(shown, self._percentage(shown), _so_far(fan_out))

    def _percentage(self, shown: Place) -> float:
        fan_out = self._draft.fan_outs[shown.step_path]
        return round(100 * fan_out.done / len(fan_out.values), 1)

    def _path_of(self, identity: str) -> tuple[str, int | None, int]:
        """The path of the step, the item and the attempt that a call id names."""
        _, _, below = identity.partition("/")
        path, item, attempt = below.rsplit("/", 2)
        return path, None if item == "-" else int(item), int(attempt)

    def _live_attempt(self, identity: str) -> tuple[Place, StepRecord] | None:
        """The attempt that a call id names, if it is the one that runs."""
        step_path, item, attempt = self._path_of(identity)
        path = step_path if item is None else f"{step_path}/{item}"
        place, record = self._draft.live.get(path), self._draft.steps.get(path)
        if place is None or record is None or record.status is not StepStatus.RUNNING:
            return None
        return (place, record) if record.attempt == attempt else None


def _so_far(fan_out: FanOut) -> str:
    return f"{fan_out.done} of {len(fan_out.values)} items"
