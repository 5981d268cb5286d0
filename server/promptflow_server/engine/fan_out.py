"""Steps that run once for each item of a list: begun, resumed, gone on with, ended."""

from __future__ import annotations

from dataclasses import replace

from promptflow_core.errors import FlowError
from promptflow_core.records import EventKind, StepRecord, StepStatus
from promptflow_core.values import NativeValue
from promptflow_server.engine.attempts import Attempts
from promptflow_server.engine.beginning import check_room
from promptflow_server.engine.draft import Draft
from promptflow_server.engine.run_state import FanOut, Place, output_of

ITEMS_PER_TURN = 64
"""Items and flows that one turn begins, so that none takes long; the next turn follows at once."""


class FanOuts:
    """The rules of for_each steps, applied to a draft. `may_begin` is how much this turn may still begin."""

    def __init__(self, draft: Draft, attempts: Attempts) -> None:
        self._draft = draft
        self._attempts = attempts
        self.may_begin = ITEMS_PER_TURN

    def begin(self, place: Place, values: list[NativeValue]) -> None:
        """Begin a step with the list that it goes over.

        Raises:
            FlowError: TEMPLATE_LIMIT, the run would grow too large.
        """
        draft = self._draft
        if place.prefix:
            check_room(draft, len(values))
        record = StepRecord(
            place.path, StepStatus.RUNNING, attempt=1, started_at_ms=draft.now_ms, items_total=len(values)
        )
        draft.write(record)
        if draft.frames[place.prefix].item is None:
            draft.emit(EventKind.STEP_STARTED, place, attempt=1)
        draft.fan_outs[place.path] = FanOut(place, tuple(values))
        self.go_on(place.path)

    def resume(self, place: Place) -> None:
        """Another owner had begun the step."""
        draft = self._draft
        items = [f"{place.path}/{item}" for item in range(draft.steps[place.path].items_total)]
        begun = [path for path in items if path in draft.steps]
        done = sum(draft.steps[path].status is StepStatus.COMPLETED for path in begun)
        frame = draft.frames[place.prefix]
        try:
            values = frame.program.templates.items(place.step, draft.scope(place.prefix))
        except FlowError as error:
            self._attempts.give_up(place, 1, error.record)
            return
        draft.fan_outs[place.path] = FanOut(place, tuple(values), next=len(begun), done=done, live=len(begun) - done)

    def go_on(self, path: str) -> None:
        """Begin items up to the limit, or end the step where all are done."""
        draft = self._draft
        while self.may_begin > 0:
            fan_out = draft.fan_outs.get(path)
            if fan_out is None or not fan_out.can_begin(len(draft.live)):
                break
            self.may_begin -= 1
            draft.fan_outs[path] = replace(fan_out, next=fan_out.next + 1, live=fan_out.live + 1)
            self._attempts.start(replace(fan_out.place, item=fan_out.next), 1)
        fan_out = draft.fan_outs.get(path)
        if fan_out is not None and fan_out.done == len(fan_out.values):
            self._end(fan_out)

    def _end(self, fan_out: FanOut) -> None:
        draft, place = self._draft, fan_out.place
        del draft.fan_outs[place.path]
        record = replace(draft.steps[place.path], status=StepStatus.COMPLETED, finished_at_ms=draft.now_ms, due_at_ms=0)
        draft.write(record)
        draft.give(place, output_of(place, draft.steps))
        self._attempts.tell_completed(place, record)
