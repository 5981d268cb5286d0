"""How a run or a part of it ends before its time: what runs is cancelled, what had not begun stays as it is."""

from __future__ import annotations

from dataclasses import replace

from promptflow_codegen.plan import FlowPlan
from promptflow_core.errors import ErrorRecord
from promptflow_core.records import ExecutionStatus, StepRecord, StepStatus, call_id
from promptflow_server.engine.draft import Draft
from promptflow_server.engine.run_state import LIVE, Place
from promptflow_server.engine.transitions import CancelCall


def end_run(draft: Draft, status: ExecutionStatus, error: ErrorRecord) -> None:
    """End the run as failed or cancelled, and everything of it that is live as cancelled."""
    for place in list(draft.live.values()):
        cancel_attempt(draft, place)
    for record in [record for record in draft.steps.values() if record.status in LIVE]:
        _cancel(draft, record)
    draft.end_run(status, error=located(draft, error))


def end_frame(draft: Draft, prefix: str) -> None:
    """End a flow that a step runs, and everything of it that is live as cancelled."""
    for path in [path for path in draft.live if path.startswith(prefix)]:
        cancel_attempt(draft, draft.live[path])
    for path in [path for path in draft.fan_outs if path.startswith(prefix)]:
        del draft.fan_outs[path]
        if draft.steps[path].status in LIVE:
            _cancel(draft, draft.steps[path])
    for below in [below for below in draft.frames if below.startswith(prefix)]:
        draft.close(below)


def cancel_attempt(draft: Draft, place: Place) -> None:
    """Nobody waits any more for what a place has live."""
    record = draft.steps[place.path]
    if record.status is StepStatus.RUNNING and place.step.flow is None:
        draft.command(CancelCall(place.step.queue, attempt_id(draft, place, record.attempt)))
    _cancel(draft, record)
    draft.settle(place)


def attempt_id(draft: Draft, place: Place, attempt: int) -> str:
    """The call id of an attempt."""
    return call_id(draft.record.execution_id, place.step_path, place.item, attempt)


def located(draft: Draft, error: ErrorRecord, place: Place | None = None, attempt: int = 0) -> ErrorRecord:
    """The error with where it happened, for whoever has to mend it; the innermost place stays."""
    if "attempt" in error.metadata:
        return error
    plan = draft.frames[place.prefix if place is not None else ""].plan
    where = {"flow": plan.name, "execution_id": draft.record.execution_id, "source": plan.source}
    metadata = dict(error.metadata)
    if place is not None:
        metadata.pop("step", None)  # without the path to it
        where |= {"step": place.step_path, "attempt": str(attempt)}
        if "source" not in metadata:
            where["line"] = str(place.step.line or "")
        if place.item is not None:
            where["item"] = str(place.item)
    found = replace(error, metadata=metadata)
    return found.with_metadata(**{name: value for name, value in where.items() if value})


def called(draft: Draft, caller: Place, error: ErrorRecord, callee: FlowPlan) -> ErrorRecord:
    """The error of a flow that a step runs, with that flow's file and the lines of the steps that led to it."""
    source = draft.frames[caller.prefix].plan.source
    calls = [error.metadata.get("called_at", ""), f"{source}:{caller.step.line}" if source and caller.step.line else ""]
    where = {"called_at": ", ".join(filter(None, calls)), "flow": callee.name, "source": callee.source}
    before = {name: value for name, value in error.metadata.items() if name != "called_at"}
    return replace(error, metadata=before).with_metadata(**{name: value for name, value in where.items() if value})


def at_output(error: ErrorRecord, plan: FlowPlan) -> ErrorRecord:
    """The error of a flow's `outputs` with the line of the one that failed."""
    name = error.metadata.get("template", "").removeprefix("outputs.").partition(".")[0].partition("[")[0]
    line = plan.output_lines.get(name)
    return error.with_metadata(line=str(line)) if line else error


def _cancel(draft: Draft, record: StepRecord) -> None:
    draft.write(replace(record, status=StepStatus.CANCELLED, finished_at_ms=draft.now_ms, due_at_ms=0))
