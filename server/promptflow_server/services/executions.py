"""Runs of one flow as its services tell of them, whatever the transport."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from uuid import UUID

import structlog

from promptflow_core.errors import ErrorRecord, FlowError, Reason
from promptflow_core.records import EventKind, ExecutionRecord, ExecutionStatus, StepStatus
from promptflow_server.engine.interface import Engine
from promptflow_server.services.admission import Admission
from promptflow_server.services.contracts import FlowContract, Message
from promptflow_server.services.event_feed import HEARTBEAT_S, Occurrence, follow
from promptflow_server.services.run_views import ContractOf, RunViews
from promptflow_server.services.submission import Order, Submission

_WITH_EXECUTION = frozenset({EventKind.ACCEPTED, EventKind.STARTED, EventKind.DONE})


def unix_ms() -> int:
    """The time in Unix milliseconds."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Accepted:
    """A run and the order that started it."""

    run: ExecutionRecord
    order: Order


class FlowExecutions:
    """Starts, finds, follows and ends the runs of one major version of one flow."""

    def __init__(
        self,
        contract: FlowContract,
        engine: Engine,
        admission: Admission,
        *,
        heartbeat_s: float = HEARTBEAT_S,
        now_ms: Callable[[], int] = unix_ms,
        contract_of: ContractOf | None = None,
    ) -> None:
        self.contract = contract
        self.admission = admission
        self._engine = engine
        self._views = RunViews(contract, contract_of)
        self._heartbeat_s = heartbeat_s
        self._now_ms = now_ms

    async def accept(
        self,
        submission: Submission,
        *,
        remaining_s: float | None = None,
        is_streamed: bool = False,
    ) -> Accepted:
        """Check a submission and start its run; `remaining_s` is how long a caller in SYNC mode waits.

        Raises:
            FlowError: INVALID_INPUT, FILE_TOO_LARGE, or as `Admission.start`; no file of the submission stays.
        """
        try:
            order = self.admission.check(submission, self.contract)
        except FlowError:
            if submission.staged_id:
                await self.admission.blobs.delete(submission.staged_id)
            raise
        run = await self.admission.start(
            order,
            self.contract,
            staged_id=submission.staged_id,
            remaining_s=remaining_s if order.is_sync else None,
            to_self=order.is_sync or is_streamed,
        )
        await self._views.prepare(run)
        return Accepted(run, order)

    async def find(self, execution_id: str) -> ExecutionRecord:
        """A run of this flow.

        Raises:
            FlowError: EXECUTION_NOT_FOUND, also for runs of other flows and versions; STORE_UNAVAILABLE.
        """
        unknown = FlowError(
            Reason.EXECUTION_NOT_FOUND,
            f"{self.contract.title} has no execution `{execution_id[:64]}`; it may have ended long ago",
            metadata={"execution_id": execution_id},
        )
        if not _is_id(execution_id):
            raise unknown
        structlog.contextvars.bind_contextvars(execution_id=execution_id)
        run = await self._engine.read(execution_id)
        if (run.flow, run.version) != (self.contract.plan.name, self.contract.plan.version):
            raise unknown
        await self._views.prepare(run)
        return run

    async def cancel(self, run: ExecutionRecord) -> Message:
        """Ask a run to end, and show it; one that has ended stays as it is.

        Raises:
            FlowError: as `Engine.cancel`.
        """
        return self.show(await self._engine.cancel(run.execution_id))

    async def result_of(self, run: ExecutionRecord) -> ExecutionRecord:
        """Wait for the end of a run.

        Raises:
            FlowError: what made the run fail, with `execution_id` and `step` in its metadata.
        """
        if not run.status.is_terminal:
            async with aclosing(self._follow(run, run.sequence)) as occurrences:
                async for occurrence in occurrences:
                    run = occurrence.run
        if run.status is not ExecutionStatus.COMPLETED:
            raise _failure_of(run)
        return run

    def show(self, run: ExecutionRecord, read_mask: Message | None = None) -> Message:
        """The `Execution` of a run, cut to its id, its status and what `read_mask` names."""
        return self._views.show(run, read_mask)

    async def events(
        self, run: ExecutionRecord, after_sequence: int, read_mask: Message | None = None
    ) -> AsyncGenerator[Message, None]:
        """The `Event`s of a run, `done` last; heartbeats while nothing happens.

        Raises:
            FlowError: STORE_UNAVAILABLE.
        """
        async with aclosing(self._follow(run, after_sequence)) as occurrences:
            async for occurrence in occurrences:
                message = self._views.of(occurrence.run).event(occurrence.event, occurrence.run)
                if read_mask is not None and occurrence.event.kind in _WITH_EXECUTION:
                    shown = getattr(message, occurrence.event.kind)
                    shown.CopyFrom(self._views.cut(shown, read_mask))
                yield message

    def _follow(self, run: ExecutionRecord, after_sequence: int) -> AsyncGenerator[Occurrence, None]:
        return follow(self._engine, run, after_sequence, heartbeat_s=self._heartbeat_s, now_ms=self._now_ms)


def _failure_of(run: ExecutionRecord) -> FlowError:
    if not run.status.is_terminal:
        raise RuntimeError(f"the events of {run.execution_id} ended without `done`")
    error = run.error or ErrorRecord(Reason.EXECUTION_CANCELLED, "the execution was cancelled")
    failed = [step.path for step in run.steps.values() if step.status is StepStatus.FAILED]
    step = {"step": failed[0].partition("/")[0]} if failed else {}
    return FlowError.of(error.with_metadata(execution_id=run.execution_id, **step))


def _is_id(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False
