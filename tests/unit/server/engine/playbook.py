"""Given events, expect commands: the machine in the words of a test, one line per thing that it says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Any

from tests.unit.server.engine.plans import program

from promptflow_codegen.plan import FlowPlan
from promptflow_core.errors import ErrorRecord, Reason
from promptflow_core.records import EventRecord, ExecutionRecord, ExecutionStatus, call_id
from promptflow_core.values import decode_value
from promptflow_server.engine.machine import Transition, advance
from promptflow_server.engine.run_state import RunState
from promptflow_server.engine.transitions import (
    AckCall,
    Announce,
    CallFinished,
    CallProgressed,
    CancelCall,
    Command,
    Opened,
    RunEvent,
    StartCall,
)

RUN = "x"
NOW = 1_000_000


class Playbook:
    """A run that a test leads through the machine. `on` takes one turn; what it said is in `events` and `commands`."""

    def __init__(self, plan: FlowPlan, *callees: FlowPlan, timeout_ms: int = 0, **inputs: Any) -> None:
        self.program = program(plan, *callees)
        self.rng = Random(5)
        record = ExecutionRecord(
            execution_id=RUN,
            flow=plan.name,
            version=1,
            bundle_digest="d",
            status=ExecutionStatus.QUEUED,
            sequence=1,
            inputs=inputs,
            created_at_ms=NOW,
            deadline_at_ms=NOW + timeout_ms if timeout_ms else 0,
        )
        self.state = RunState.of(self.program, record, server="s1", epoch=3)
        self.last = Transition(self.state, None, ())

    def on(self, *events: RunEvent, at: int = 0) -> Playbook:
        """What happens, `at` ms after the beginning."""
        self.last = advance(self.state, events, now_ms=NOW + at, rng=self.rng)
        self.state = self.last.state
        return self

    def opened(self) -> Playbook:
        """The first opening."""
        return self.on(Opened())

    def reopened(self, server: str = "s2", epoch: int = 4, *events: RunEvent, at: int = 0) -> Playbook:
        """Another server goes on from what is recorded."""
        self.state = RunState.of(self.program, self.state.record, server=server, epoch=epoch)
        return self.on(Opened(), *events, at=at)

    @property
    def record(self) -> ExecutionRecord:
        return self.state.record

    @property
    def events(self) -> list[str]:
        """Stored events of the last turn."""
        return [shown_event(event) for event in (self.last.commit.events if self.last.commit else ())]

    @property
    def commands(self) -> list[str]:
        """Commands of the last turn."""
        return [shown_command(command) for command in self.last.commands]

    @property
    def statuses(self) -> dict[str, str]:
        """Where each step is."""
        return {path: str(step.status) for path, step in self.record.steps.items()}

    def configs(self) -> list[Any]:
        """The configs of the calls that the last turn starts."""
        return [decode_value(command.call.config) for command in self.last.commands if isinstance(command, StartCall)]


def done(name: str, value: Any = None, *, item: int | None = None, attempt: int = 1) -> CallFinished:
    """A call of a step answers."""
    return CallFinished(call_id(RUN, name, item, attempt), output={"value": value}, worker="w")


def failed(
    name: str,
    reason: Reason = Reason.EXECUTOR_FAILED,
    *,
    item: int | None = None,
    attempt: int = 1,
    retry_after_ms: int | None = None,
) -> CallFinished:
    """A call of a step fails."""
    error = ErrorRecord(reason, "broken", retry_after_ms=retry_after_ms)
    return CallFinished(call_id(RUN, name, item, attempt), error=error, worker="w")


def progressed(name: str, percentage: float, *, item: int | None = None, attempt: int = 1) -> CallProgressed:
    """A call of a step says how far it is."""
    return CallProgressed(call_id(RUN, name, item, attempt), percentage)


def shown_event(event: EventRecord) -> str:
    parts = [str(event.kind)]
    if event.step:
        parts.append(event.step + ("" if event.item is None else f"/{event.item}"))
    if event.attempt:
        parts.append(f"#{event.attempt}")
    if event.error is not None:
        parts.append(str(event.error.reason))
    return " ".join(parts)


def shown_command(command: Command) -> str:
    match command:
        case StartCall(queue=queue, call=call):
            return f"start {_short(call.id)}" + (f" on {queue}" if queue else "")
        case CancelCall(call_id=identity):
            return f"cancel {_short(identity)}"
        case AckCall(call_id=identity):
            return f"ack {_short(identity)}"
        case Announce(event=event):
            return f"announce {event.step}{'' if event.item is None else f'/{event.item}'} {event.percentage:g}"


def without_times(record: ExecutionRecord) -> ExecutionRecord:
    """The record as far as it does not depend on the clock."""
    steps = {path: replace(step, started_at_ms=0, finished_at_ms=0, due_at_ms=0) for path, step in record.steps.items()}
    return replace(record, steps=steps, started_at_ms=0, finished_at_ms=0)


def sequences(commits: Sequence[EventRecord]) -> list[int]:
    return [event.sequence for event in commits]


def _short(identity: str) -> str:
    step, item, attempt = identity.partition("/")[2].rsplit("/", 2)
    return f"{step}{'' if item == '-' else f'/{item}'} #{attempt}"
