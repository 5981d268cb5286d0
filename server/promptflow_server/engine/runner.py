"""FlowEngine: starts runs, drives those that this process is given, tells what became of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import suppress
from random import Random

import structlog

from promptflow_codegen.plan import FlowPlan
from promptflow_core.errors import FlowError, Reason
from promptflow_core.executor import Files
from promptflow_core.records import EventKind, EventRecord, ExecutionRecord, ExecutionStatus
from promptflow_core.registry import ExecutorRegistry
from promptflow_core.values import NativeValue
from promptflow_server.engine.driver import DriverParts, RunDriver
from promptflow_server.engine.executor import StepExecutor
from promptflow_server.engine.file_sweep import FileSweep
from promptflow_server.engine.inline import InlineExecutors
from promptflow_server.engine.interface import StartOptions
from promptflow_server.engine.pools import PoolCalls
from promptflow_server.engine.program import InputCheckOf, PlanOf, Programs
from promptflow_server.engine.transitions import CancelRequested
from promptflow_server.engine.watching import Watching
from promptflow_server.store.run_index import RunFilter, RunPage
from promptflow_server.store.state import Loss, RunLostError, Signal, StateManager, same_inputs
from promptflow_workers.dispatch.interface import CallDispatch, Claim, RunDispatch

START_S = 5.0
SWEEP_S, SWEEP_PAGE = 10.0, 500

_log = structlog.get_logger(__name__)


class FlowEngine:
    """The engine of one server process; see `interface.Engine`. `server_id` is never used again.

    `plan_of` answers the plan of (digest, flow, version) or raises FlowError FLOW_NOT_FOUND; `input_check_of` what else
    holds for the inputs of such a flow, where another flow runs it. A call waits
    `no_workers_after_s` for a pool that has no workers; every `look_s` a run's signal is looked up, for its push may be
    lost. `file_sweep` removes the files of runs that Redis has forgotten.
    """

    def __init__(  # noqa: PLR0913 - what a process composes, by name
        self,
        *,
        state: StateManager,
        calls: CallDispatch,
        runs: RunDispatch,
        registry: ExecutorRegistry,
        plan_of: PlanOf,
        files: Files,
        server_id: str,
        rng: Random,
        no_workers_after_s: float = 10.0,
        look_s: float = 5.0,
        input_check_of: InputCheckOf | None = None,
        file_sweep: FileSweep | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._state = state
        self._runs = runs
        self._server_id = server_id
        self._drivers: dict[str, RunDriver] = {}
        self._watching = Watching(state, server_id, is_driven_here=self._drivers.__contains__, monotonic=monotonic)
        pools = PoolCalls(
            calls, is_waited_for=self._is_waited_for, no_workers_after_s=no_workers_after_s, monotonic=monotonic
        )
        self._executor = StepExecutor(InlineExecutors(registry, files, rng), pools)
        self._parts = DriverParts(
            state=state,
            executor=self._executor,
            watching=self._watching,
            program_of=Programs(plan_of, input_check_of).find,
            server_id=server_id,
            rng=rng,
            look_s=look_s,
            monotonic=monotonic,
        )
        self._file_sweep = file_sweep
        self._swept = 0
        self._is_draining = False

    async def run(self) -> None:
        """Drive claimed runs until cancelled or drained."""
        stop_listening = self._state.signalled(self._server_id, self._on_signal)
        try:
            async with asyncio.TaskGroup() as group:
                services = [
                    group.create_task(service)
                    for service in (self._executor.run(), self._watching.run(), self._sweep_forever())
                ]
                await self._runs.serve(self._handle)
                await self._executor.say_farewells()
                for task in services:
                    task.cancel()
        finally:
            stop_listening()

    async def drain(self, grace_s: float) -> None:
        """Start and take no more runs, let those driven here end for `grace_s`, then give the rest to other servers."""
        self._is_draining = True
        await self._runs.drain(grace_s)

    async def start(
        self, plan: FlowPlan, digest: str, inputs: Mapping[str, NativeValue], options: StartOptions
    ) -> ExecutionRecord:
        """See `Engine.start`."""
        if self._is_draining:
            message = "this server is shutting down; send the request again"
            raise FlowError(Reason.SERVER_DRAINING, message, retry_after_ms=1000)
        record = self._new_run(plan, digest, inputs, options)
        try:
            async with asyncio.timeout(START_S):
                return await self._start(record, to_self=options.to_self)
        except TimeoutError:
            message = f"the run could not be recorded within {START_S:g} s; send the request again"
            raise FlowError(Reason.STORE_UNAVAILABLE, message, retry_after_ms=1000) from None

    async def read(self, execution_id: str) -> ExecutionRecord:
        """See `Engine.read`."""
        return await self._state.read(execution_id)

    def watch(self, execution_id: str, after_sequence: int = 0) -> AsyncGenerator[EventRecord]:
        """See `Engine.watch`."""
        return self._watching.watch(execution_id, after_sequence)

    async def list_runs(self, wanted: RunFilter, *, size: int, token: str = "") -> RunPage:
        """See `Engine.list_runs`."""
        return await self._state.index.page(wanted, size=size, token=token)

    async def cancel(self, execution_id: str) -> ExecutionRecord:
        """See `Engine.cancel`."""
        status = await self._state.signal(execution_id, Signal.CANCEL)
        if not status.is_terminal:
            driver = self._drivers.get(execution_id)
            if driver is not None:
                driver.post(CancelRequested())
            else:
                # Where no server has it, one has to take it up in order to end it.
                await self._runs.put(execution_id, to_self=False)
        return await self._state.read(execution_id)

    def _new_run(
        self, plan: FlowPlan, digest: str, inputs: Mapping[str, NativeValue], options: StartOptions
    ) -> ExecutionRecord:
        now_ms = self._state.clock.now_ms()
        timeout_ms = min(filter(None, [plan.timeout_ms, options.timeout_ms]), default=0)
        return ExecutionRecord(
            execution_id=options.execution_id,
            flow=plan.name,
            version=plan.version,
            bundle_digest=digest,
            status=ExecutionStatus.QUEUED,
            sequence=1,
            inputs=dict(inputs),
            labels=dict(options.labels),
            created_at_ms=now_ms,
            deadline_at_ms=now_ms + timeout_ms if timeout_ms else 0,
        )

    async def _start(self, record: ExecutionRecord, *, to_self: bool) -> ExecutionRecord:
        execution_id = record.execution_id
        accepted = EventRecord(execution_id, 1, record.created_at_ms, EventKind.ACCEPTED)
        if not await self._state.create(record, accepted):
            standing = await self._state.read(execution_id)
            if not same_inputs(standing.inputs, record.inputs):
                message = "this `request_id` was used for other inputs; take a new one"
                raise FlowError(Reason.REQUEST_ID_REUSED, message, metadata={"execution_id": execution_id})
            if standing.status.is_terminal:
                return standing
            record = standing
        # One write carries these in this order: the run is kept only once it is in the index and on the queue.
        await asyncio.gather(
            self._state.list_open(execution_id, record.created_at_ms),
            self._state.index.add(record),
            self._runs.put(execution_id, to_self=to_self),
            self._state.accept(execution_id),
        )
        return record

    async def _handle(self, claim: Claim) -> None:
        """Drive a run; returning strikes it from the queue, raising gives it to the next server."""
        driver = RunDriver(claim, self._parts)
        self._drivers[claim.execution_id] = driver
        try:
            await driver.drive()
        except RunLostError as error:
            if error.loss is Loss.FENCED:
                return
            if error.loss is Loss.SEQ:
                raise
        finally:
            if self._drivers.get(claim.execution_id) is driver:
                del self._drivers[claim.execution_id]
                self._watching.look(claim.execution_id)
        with suppress(FlowError):  # the sweep comes back to it
            await self._state.unlist_open(claim.execution_id)

    def _on_signal(self, message: bytes | None) -> None:
        if message is None:
            for driver in self._drivers.values():
                driver.look()
            return
        addressed = self._drivers.get(message.decode())
        if addressed is not None:
            addressed.post(CancelRequested())

    async def _is_waited_for(self, execution_id: str) -> bool:
        """Whether a result that nobody here waits for may be asked for yet, by another server or later here."""
        driver = self._drivers.get(execution_id)
        if driver is not None:
            return not driver.is_under_way
        status = await self._state.status_of(execution_id)
        return status is not None and not status.is_terminal

    async def _sweep_forever(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            with suppress(FlowError):
                await self.sweep()
                await self._state.index.sweep()
                if self._file_sweep is not None:
                    await self._file_sweep.sweep(self._state.status_of)

    async def sweep(self) -> None:
        """Put open runs that nobody here drives on the queue: a no-op for all but those that fell between.

        A page of them each time, oldest first, then from the beginning again.

        Raises:
            FlowError: STORE_UNAVAILABLE.
        """
        created_before_ms = self._state.clock.now_ms() - int(SWEEP_S * 1000)
        page = await self._state.open_runs(created_before_ms, offset=self._swept, limit=SWEEP_PAGE)
        await asyncio.gather(*(self._runs.put(run, to_self=False) for run in page if run not in self._drivers))
        self._swept = self._swept + len(page) if len(page) == SWEEP_PAGE else 0
