"""What goes into the machine and what comes out: events, commands, and the transition that holds both ends."""

from __future__ import annotations

from dataclasses import dataclass

from promptflow_core.errors import ErrorRecord
from promptflow_core.records import Call, EventRecord, StepRecord
from promptflow_core.types import ObjectType
from promptflow_core.values import NativeValue
from promptflow_server.store.records import HeadChange


@dataclass(frozen=True, slots=True)
class Opened:
    """The run is ours; `opens` counts how often it was opened since it last moved on."""

    opens: int = 1


@dataclass(frozen=True, slots=True)
class CallFinished:
    """An attempt answered: `output` fits the step's output type, or there is an `error`."""

    call_id: str
    output: NativeValue = None
    error: ErrorRecord | None = None
    worker: str = ""


@dataclass(frozen=True, slots=True)
class CallProgressed:
    """An attempt says how far it is."""

    call_id: str
    percentage: float
    message: str = ""


@dataclass(frozen=True, slots=True)
class CancelRequested:
    """Somebody asked the run to end."""


RunEvent = Opened | CallFinished | CallProgressed | CancelRequested
"""Time is no event: every turn looks at the clock."""


@dataclass(frozen=True, slots=True)
class StartCall:
    """Begin an attempt, or ask for its result again; `queue` None runs it in this process. It answers an `output`."""

    queue: str | None
    call: Call
    output: ObjectType


@dataclass(frozen=True, slots=True)
class CancelCall:
    """Nobody waits for this attempt any more."""

    queue: str | None
    call_id: str


@dataclass(frozen=True, slots=True)
class AckCall:
    """The result is recorded, or no longer wanted: dispatch may forget it."""

    queue: str
    call_id: str


@dataclass(frozen=True, slots=True)
class Announce:
    """Tell watchers something that is not stored, in its place: behind the stored event of the sequence `after`."""

    event: EventRecord
    after: int


Command = StartCall | CancelCall | AckCall | Announce


@dataclass(frozen=True, slots=True)
class Commit:
    """One atomic write: what changed in the head, the steps' records, and the events of this turn."""

    head: HeadChange
    steps: tuple[StepRecord, ...]
    events: tuple[EventRecord, ...]
