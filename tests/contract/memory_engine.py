"""An engine without Redis or workers: runs do what the test says, so that failures can be provoked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from promptflow_codegen.plan import FlowPlan
from promptflow_core.errors import ErrorRecord, FlowError, Reason
from promptflow_core.records import (
    EventKind,
    EventRecord,
    ExecutionRecord,
    ExecutionStatus,
    Progress,
    StepRecord,
    StepStatus,
)
from promptflow_core.values import NativeValue
from promptflow_server.engine.interface import StartOptions
from promptflow_server.store.page_tokens import page_token, place_of
from promptflow_server.store.run_index import RunFilter, RunPage, entry_of

START_MS = 1_900_000_000_000


@dataclass
class Run:
    """One run: its record and its stored events; `changed` is set whenever either grows."""

    record: ExecutionRecord
    options: StartOptions
    events: list[EventRecord] = field(default_factory=list)
    passing: list[EventRecord] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)


Script = Callable[["MemoryEngine", str], Awaitable[None]]


async def complete(engine: MemoryEngine, execution_id: str) -> None:
    """The script of a run that goes well at once."""
    engine.emit(execution_id, EventKind.STARTED)
    engine.emit(execution_id, EventKind.STEP_STARTED, step="inspect", attempt=1)
    inputs = engine.runs[execution_id].record.inputs
    output = {name: inputs[name] for name in ("text", "count", "ratio", "extra", "document") if name in inputs}
    engine.set_step("inspect", execution_id, status=StepStatus.COMPLETED, attempt=1, output=output)
    engine.emit(execution_id, EventKind.STEP_COMPLETED, step="inspect", attempt=1, output=output)
    engine.end(execution_id, ExecutionStatus.COMPLETED, result={"inspect": output, "label": []})


async def stall(engine: MemoryEngine, execution_id: str) -> None:
    """The script of a run that starts and then waits for the test."""
    engine.emit(execution_id, EventKind.STARTED)


class MemoryEngine:
    """`Engine`; `script` says what becomes of a new run, `refusal` is raised instead of starting one.

    `starting` is set once a start is asked for, which waits for `may_start`; `started` once there is a run. Reading and
    cancelling wait for `may_read`.
    """

    def __init__(self, script: Script = complete) -> None:
        self.script = script
        self.refusal: Exception | None = None
        self.starting, self.may_start, self.started = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.may_start.set()
        self.may_read = asyncio.Event()
        self.may_read.set()
        self.runs: dict[str, Run] = {}
        self.watchers = 0
        self._watchers_changed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(
        self, plan: FlowPlan, digest: str, inputs: Mapping[str, NativeValue], options: StartOptions
    ) -> ExecutionRecord:
        self.starting.set()
        await self.may_start.wait()
        if self.refusal is not None:
            raise self.refusal
        known = self.runs.get(options.execution_id)
        if known is not None:
            if known.record.inputs != inputs:
                raise FlowError(Reason.REQUEST_ID_REUSED, "other inputs")
            return known.record
        record = ExecutionRecord(
            options.execution_id,
            plan.name,
            plan.version,
            digest,
            ExecutionStatus.QUEUED,
            0,
            inputs,
            labels=options.labels,
            created_at_ms=START_MS,
        )
        run = self.runs[options.execution_id] = Run(record, options)
        self.emit(options.execution_id, EventKind.ACCEPTED)
        task = asyncio.ensure_future(self._play(options.execution_id))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.started.set()
        return run.record

    async def read(self, execution_id: str) -> ExecutionRecord:
        await self.may_read.wait()
        return self._run(execution_id).record

    async def watch(self, execution_id: str, after_sequence: int = 0) -> AsyncIterator[EventRecord]:
        run = self._run(execution_id)
        self._count_watchers(1)
        try:
            if run.record.status.is_terminal and after_sequence >= run.record.sequence:
                yield run.events[-1]
                return
            while True:
                run.changed.clear()
                while run.passing:
                    yield run.passing.pop(0)
                for event in [event for event in run.events if event.sequence > after_sequence]:
                    after_sequence = event.sequence
                    yield event
                    if event.kind is EventKind.DONE:
                        return
                await run.changed.wait()
        finally:
            self._count_watchers(-1)

    async def list_runs(self, wanted: RunFilter, *, size: int, token: str = "") -> RunPage:
        after = place_of(token, wanted.name)
        await self.may_read.wait()
        entries = {entry_of(run.record): run.record for run in self.runs.values()}
        found = [
            (entry, run)
            for entry, run in sorted(entries.items(), reverse=True)
            if (not after or entry < after)
            and wanted.flow in ("", run.flow)
            and wanted.version in (0, run.version)
            and (not wanted.statuses or run.status in wanted.statuses)
        ]
        page = found[:size]
        next_token = page_token(page[-1][0], wanted.name) if len(found) > size else ""
        return RunPage(tuple(run for _, run in page), next_token)

    async def cancel(self, execution_id: str) -> ExecutionRecord:
        run = self._run(execution_id)
        if not run.record.status.is_terminal:
            self.end(execution_id, ExecutionStatus.CANCELLED)
        return run.record

    async def watched_by(self, count: int) -> None:
        """Return once `count` watches are open."""
        async with asyncio.timeout(5):
            while self.watchers != count:
                self._watchers_changed.clear()
                await self._watchers_changed.wait()

    def tell(self, execution_id: str, kind: EventKind, **fields: Any) -> None:
        """Send an event that is not stored to whoever watches now."""
        run = self.runs[execution_id]
        run.passing.append(EventRecord(execution_id, 0, START_MS, kind, run.record.progress, **fields))
        run.changed.set()

    def emit(self, execution_id: str, kind: EventKind, **fields: Any) -> None:
        """Add a stored event."""
        run = self.runs[execution_id]
        sequence = run.record.sequence + 1
        progress = Progress(min(100.0, sequence * 10.0), fields.get("step", ""), ())
        run.events.append(EventRecord(execution_id, sequence, START_MS + sequence, kind, progress, **fields))
        status = ExecutionStatus.RUNNING if kind is EventKind.STARTED else run.record.status
        run.record = replace(run.record, sequence=sequence, status=status, progress=progress)
        run.changed.set()

    def set_step(self, path: str, execution_id: str, **fields: Any) -> None:
        """Change the record of a step."""
        run = self.runs[execution_id]
        run.record = replace(run.record, steps={**run.record.steps, path: StepRecord(path, **fields)})

    def end(
        self,
        execution_id: str,
        status: ExecutionStatus,
        *,
        result: Mapping[str, NativeValue] | None = None,
        error: ErrorRecord | None = None,
    ) -> None:
        """End a run."""
        run = self.runs[execution_id]
        run.record = replace(run.record, status=status, result=result, error=error, finished_at_ms=START_MS + 500)
        self.emit(execution_id, EventKind.DONE)

    def _count_watchers(self, change: int) -> None:
        self.watchers += change
        self._watchers_changed.set()

    async def _play(self, execution_id: str) -> None:
        await self.script(self, execution_id)

    def _run(self, execution_id: str) -> Run:
        if execution_id not in self.runs:
            raise FlowError(Reason.EXECUTION_NOT_FOUND, f"no execution `{execution_id}`")
        return self.runs[execution_id]
