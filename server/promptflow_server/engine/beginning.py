"""What attempts begin with: a call with its config and deadline, or the frame of a flow with its inputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from promptflow_core.errors import FlowError, Reason
from promptflow_core.records import Call, StepRecord
from promptflow_core.values import NativeValue
from promptflow_server.engine.callee_inputs import callee_inputs
from promptflow_server.engine.draft import Draft
from promptflow_server.engine.ending import attempt_id
from promptflow_server.engine.run_state import Frame, Place
from promptflow_server.engine.scope import Item
from promptflow_server.engine.transitions import StartCall

MAX_NESTED = 100_000
"""Steps and items of a run that runs flows inside lists: each is a record of the run."""


def config_of(draft: Draft, place: Place) -> bytes:
    """The config of a call.

    Raises:
        FlowError: TEMPLATE_FAILED or TEMPLATE_LIMIT.
    """
    templates = draft.frames[place.prefix].program.templates
    return templates.config(place.step, draft.scope(place.prefix), _item(draft, place))


def start_call(draft: Draft, place: Place, record: StepRecord, config: bytes) -> StartCall:
    """The command that begins the attempt of a record, or asks for its result again."""
    call = Call(
        id=attempt_id(draft, place, record.attempt),
        executor=place.step.executor,
        execution_id=draft.record.execution_id,
        step=place.step_path,
        item=place.item,
        attempt=record.attempt,
        config=config,
        deadline_at_ms=min((due_at_ms for due_at_ms, _ in deadlines(draft, place)), default=0),
        epoch=draft.epoch,
    )
    return StartCall(place.step.queue, call, place.step.output)


def opened_frame(draft: Draft, place: Place, attempt: int) -> Frame:
    """The frame of the flow that an attempt runs.

    Raises:
        FlowError: as `inputs_of`, or TEMPLATE_LIMIT: the run has grown too large.
    """
    check_room(draft)
    frame = draft.frames[place.prefix].below(place, attempt, {})
    return replace(frame, inputs=inputs_of(draft, place, frame))


def inputs_of(draft: Draft, place: Place, frame: Frame) -> Mapping[str, NativeValue]:
    """What the step at `place` gives to the flow of `frame`.

    Raises:
        FlowError: TEMPLATE_FAILED, TEMPLATE_LIMIT or INVALID_INPUT.
    """
    templates = draft.frames[place.prefix].program.templates
    given = templates.inputs(place.step, draft.scope(place.prefix), _item(draft, place))
    return callee_inputs(frame.program, given, place.step_path)


def check_room(draft: Draft, items: int = 0) -> None:
    """Refuse to begin a flow, or so many items inside one, in a run that has grown too large.

    Raises:
        FlowError: TEMPLATE_LIMIT.
    """
    waiting = sum(len(fan_out.values) - fan_out.next for fan_out in draft.fan_outs.values()) if items else 0
    if len(draft.steps) + waiting + items > MAX_NESTED:
        message = f"with the flows that its steps run, the run has more than {MAX_NESTED} steps and items"
        raise FlowError(Reason.TEMPLATE_LIMIT, f"{message}; split the work over several runs")


def limit_of(draft: Draft, place: Place) -> int | None:
    """How long an attempt may take in milliseconds: a flow keeps its own limit too."""
    own = place.step.timeout_ms
    if place.step.flow is None:
        return own
    callee = draft.frames[place.prefix].program.callee(place.step).plan
    return min(filter(None, [own, callee.timeout_ms]), default=None)


def deadlines(draft: Draft, place: Place) -> Iterator[tuple[int, Place | None]]:
    """When an attempt has to end, and what ends it: itself, a step around it, or the run (None)."""
    around: Place | None = place
    while around is not None:
        due_at_ms = draft.steps[around.path].due_at_ms
        if due_at_ms:
            yield due_at_ms, around
        around = draft.frames[around.prefix].caller
    if draft.record.deadline_at_ms:
        yield draft.record.deadline_at_ms, None


def _item(draft: Draft, place: Place) -> Item | None:
    if place.item is None:
        return None
    return Item(draft.fan_outs[place.step_path].values[place.item], place.item)
