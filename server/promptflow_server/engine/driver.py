"""RunDriver: one run in the hands of this process, from its opening to its end."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import inf
from random import Random

import structlog

from promptflow_codegen.plan import FlowPlan
from promptflow_core.errors import ErrorRecord, FlowError, Reason
from promptflow_core.records import ExecutionRecord
from promptflow_core.types import ObjectType
from promptflow_server.engine.executor import StepExecutor
from promptflow_server.engine.machine import Transition, abandon, advance
from promptflow_server.engine.outages import outlast
from promptflow_server.engine.program import Program
from promptflow_server.engine.run_state import RunState
from promptflow_server.engine.templates import TemplateEngine
from promptflow_server.engine.transitions import (
    AckCall,
    Announce,
    CancelCall,
    CancelRequested,
    Command,
    Commit,
    Opened,
    RunEvent,
    StartCall,
)
from promptflow_server.engine.watching import Watching
from promptflow_server.store.records import HeadChange
from promptflow_server.store.state import OpenedRun, Signal, StateManager
from promptflow_workers.dispatch.interface import Claim

SETTLED_S = 10.0

_log = structlog.get_logger(__name__)


ProgramOf = Callable[[str, str, int], Awaitable[Program]]
"""(digest, flow, version) -> what a run pins; raises FlowError: there is none, or it does not compile."""


@dataclass(frozen=True, slots=True)
class DriverParts:
    """What all drivers of a process share."""

    state: StateManager
    executor: StepExecutor
    watching: Watching
    program_of: ProgramOf
    server_id: str
    rng: Random
    look_s: float
    monotonic: Callable[[], float] = time.monotonic


class RunDriver:
    """Takes what happens to a run to the machine, commits what it answers, performs it: one turn after the other."""

    def __init__(self, claim: Claim, parts: DriverParts) -> None:
        self._claim = claim
        self._parts = parts
        self._mailbox: deque[RunEvent] = deque()
        self._has_news = asyncio.Event()
        self._started: set[str] = set()
        self._is_settled = False
        self._opened_at = parts.monotonic()
        self._look_at = self._opened_at + parts.look_s
        self._is_under_way = False

    @property
    def is_under_way(self) -> bool:
        """Whether it waits for every call that the run has: a call that it does not wait for is over."""
        return self._is_under_way

    def post(self, event: RunEvent) -> None:
        """Something happened to the run."""
        self._mailbox.append(event)
        self._has_news.set()

    def look(self) -> None:
        """A signal may have been missed."""
        self._look_at = -inf
        self._has_news.set()

    async def drive(self) -> None:
        """Open the run and bring it to its end, however long Redis is away.

        Raises:
            RunLostError: another owns the run, or it has ended already.
        """
        opened = await outlast(
            lambda: self._parts.state.open(self._claim.execution_id, self._claim.epoch, self._parts.server_id)
        )
        try:
            await self._drive(opened)
        finally:
            self._parts.executor.forget(self._started)

    async def _drive(self, opened: OpenedRun) -> None:
        record = opened.record
        try:
            program = await outlast(lambda: self._parts.program_of(record.bundle_digest, record.flow, record.version))
        except FlowError as error:
            unknown = FlowPlan(record.flow, record.version, "", "", ObjectType(()), (), ObjectType(()))
            await self._abandon(self._state_of(Program(unknown, TemplateEngine(unknown)), opened), error.record)
            return
        state = self._state_of(program, opened)
        events: Sequence[RunEvent] = [Opened(opened.opens)]
        if opened.signal is Signal.CANCEL:
            events = [*events, CancelRequested()]
        try:
            while True:
                state = await self._turn(state, events)
                self._is_under_way = True
                if state.record.status.is_terminal:
                    return
                events = await self._next_events(state)
        except MachineError as error:
            _log.exception("engine_failed", execution_id=record.execution_id)
            cause = error.__cause__
            message = f"the engine failed: {type(cause).__name__}: {cause}; the server's log says more"
            await self._abandon(state, ErrorRecord(Reason.INTERNAL, message))

    def _state_of(self, program: Program, opened: OpenedRun) -> RunState:
        return RunState.of(program, opened.record, server=self._parts.server_id, epoch=self._claim.epoch)

    async def _turn(self, state: RunState, events: Sequence[RunEvent]) -> RunState:
        transition = await self._advance(state, events)
        await self._carry_out(state, transition)
        return transition.state

    async def _advance(self, state: RunState, events: Sequence[RunEvent]) -> Transition:
        now_ms, rng = self._parts.state.clock.now_ms(), self._parts.rng

        def take_turn() -> Transition:
            return advance(state, events, now_ms=now_ms, rng=rng)

        try:
            return take_turn() if state.program.is_light else await asyncio.to_thread(take_turn)
        except Exception as error:
            raise MachineError from error

    async def _abandon(self, state: RunState, error: ErrorRecord) -> None:
        transition = abandon(state, error, now_ms=self._parts.state.clock.now_ms())
        await self._carry_out(state, transition)

    async def _carry_out(self, before: RunState, transition: Transition) -> None:
        if transition.commit is not None:
            try:
                await self._write(before.record, transition.commit)
            except (TypeError, ValueError, OverflowError) as error:  # something in it cannot be encoded
                raise MachineError from error
        self._tell(transition)
        await self._perform(transition.commands)

    async def _write(self, before: ExecutionRecord, commit: Commit) -> None:
        signal = await outlast(
            lambda: self._parts.state.commit(
                before.execution_id,
                epoch=self._claim.epoch,
                sequence=before.sequence,
                head=commit.head,
                steps=commit.steps,
                events=commit.events,
            )
        )
        self._is_settled = True
        if signal is Signal.CANCEL:
            self.post(CancelRequested())

    def _tell(self, transition: Transition) -> None:
        record = transition.state.record
        stored = transition.commit.events if transition.commit is not None else ()
        announced = [command for command in transition.commands if isinstance(command, Announce)]
        if not stored and not announced:
            return
        self._parts.watching.tell(record.execution_id, stored, announced)
        for one in announced:
            if one.after == record.sequence:
                self._parts.watching.publish(one)

    async def _perform(self, commands: Sequence[Command]) -> None:
        """Calls first, so that an acknowledgement or a cancellation never overtakes the call that it is for."""
        unwanted = {command.call_id for command in commands if isinstance(command, CancelCall)}
        # Items of one step have one output type, and so have the steps of a flow that is run for each item.
        groups: dict[tuple[str | None, int], list[StartCall]] = {}
        for command in commands:
            if isinstance(command, StartCall) and command.call.id not in unwanted:
                groups.setdefault((command.queue, id(command.output)), []).append(command)
        await asyncio.gather(*map(self._start, groups.values()))
        for command in commands:
            match command:
                case CancelCall(queue=queue, call_id=call_id):
                    self._started.discard(call_id)
                    self._parts.executor.cancel(queue, call_id)
                case AckCall(queue=queue, call_id=call_id):
                    self._started.discard(call_id)
                    self._parts.executor.ack(queue, call_id)
                case StartCall() | Announce():
                    pass

    async def _start(self, group: Sequence[StartCall]) -> None:
        calls = [command.call for command in group]
        self._started.update(call.id for call in calls)
        await self._parts.executor.start(group[0].queue, calls, group[0].output, self.post)

    async def _next_events(self, state: RunState) -> list[RunEvent]:
        """What has happened since, at the latest when something is due: then perhaps nothing."""
        now = self._parts.monotonic()
        due_at = now + _until(state.wake_at_ms, self._parts.state.clock.now_ms())
        while True:
            self._has_news.clear()
            if now >= self._look_at:
                await self._look_around(state)
            if self._mailbox or now >= due_at:
                events = list(self._mailbox)
                self._mailbox.clear()
                return events
            with suppress(TimeoutError):
                async with asyncio.timeout(min(due_at, self._look_at) - now):
                    await self._has_news.wait()
            now = self._parts.monotonic()

    async def _look_around(self, state: RunState) -> None:
        """A signal may have been missed, however much happens; and the run does no harm to its owner."""
        self._look_at = self._parts.monotonic() + self._parts.look_s
        with suppress(FlowError):  # at the next look
            if await self._parts.state.signal_of(state.record.execution_id) is Signal.CANCEL:
                self.post(CancelRequested())
        if not self._is_settled and self._parts.monotonic() - self._opened_at >= SETTLED_S:
            await self._write(state.record, Commit(HeadChange(server=self._parts.server_id), (), ()))


class MachineError(Exception):
    """The machine or a renderer raised what it must not raise; the cause is what it was."""


def _until(wake_at_ms: int | None, now_ms: int) -> float:
    return inf if wake_at_ms is None else max(wake_at_ms - now_ms, 0) / 1000
