"""How a run ends before its time: what runs is cancelled, what had not begun stays as it is."""

from __future__ import annotations

from dataclasses import replace

from promptflow_codegen.plan import StepPlan
from promptflow_core.errors import ErrorRecord
from promptflow_core.records import ExecutionStatus, StepRecord, StepStatus, call_id
from promptflow_server.engine.draft import Draft
from promptflow_server.engine.run_state import LIVE
from promptflow_server.engine.transitions import CancelCall


def end_run(draft: Draft, status: ExecutionStatus, error: ErrorRecord) -> None:
    """End the run as failed or cancelled, and everything of it that is live as cancelled."""
    for path, (step, item) in list(draft.live.items()):
        record = draft.steps[path]
        if record.status is StepStatus.RUNNING:
            draft.command(CancelCall(step.queue, attempt_id(draft, step, item, record.attempt)))
        _cancel(draft, record)
    for record in [record for record in draft.steps.values() if record.status in LIVE]:
        _cancel(draft, record)
    draft.end_run(status, error=located(draft, error))


def attempt_id(draft: Draft, step: StepPlan, item: int | None, attempt: int) -> str:
    """The call id of an attempt."""
    return call_id(draft.record.execution_id, step.name, item, attempt)


def located(
    draft: Draft, error: ErrorRecord, step: StepPlan | None = None, item: int | None = None, attempt: int = 0
) -> ErrorRecord:
    """The error with where it happened, for whoever has to mend it."""
    where = {"flow": draft.record.flow, "execution_id": draft.record.execution_id, "source": draft.plan.source}
    if step is not None:
        where |= {"step": step.name, "attempt": str(attempt), "line": str(step.line or "")}
    if item is not None:
        where["item"] = str(item)
    return error.with_metadata(**{name: value for name, value in where.items() if value})


def _cancel(draft: Draft, record: StepRecord) -> None:
    draft.write(replace(record, status=StepStatus.CANCELLED, finished_at_ms=draft.now_ms, due_at_ms=0))
    draft.settle(record.path)
