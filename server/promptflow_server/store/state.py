"""StateManager: the record of every run, read by all servers, written by the one that owns it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from importlib.resources import files
from typing import Any

from redis.exceptions import ResponseError

from promptflow_core import keys
from promptflow_core.errors import FlowError, Reason
from promptflow_core.records import EventRecord, ExecutionRecord, ExecutionStatus, StepRecord
from promptflow_core.values import NativeValue, encode_value
from promptflow_server.store.records import (
    HeadChange,
    decode_record,
    decode_run,
    encode_head_change,
    encode_new_head,
    encode_record,
    pairs,
)
from promptflow_server.store.run_index import RunIndex
from promptflow_workers.dispatch.clock import RedisClock, Seconds
from promptflow_workers.dispatch.functions import FunctionLibrary
from promptflow_workers.dispatch.link import Link
from promptflow_workers.dispatch.pushes import OnMessage

LAYOUT = "pf1"
EVENTS_PER_READ = 200
PROMPT_S = 0.2

KEEP_S = 7 * 24 * 3600.0
"""How long a run that has ended can be read, and its id makes no second run."""


class Signal(StrEnum):
    """What others may ask of the owner of a run."""

    CANCEL = "cancel"


class Loss(StrEnum):
    """Why a write was refused: the run is not there, is another's, has ended, or is not where its owner thinks."""

    GONE = "GONE"
    FENCED = "FENCED"
    ENDED = "ENDED"
    SEQ = "SEQ"


class RunLostError(Exception):
    """The writer does not own the run (any more). It must stop; nothing was written."""

    def __init__(self, loss: Loss, detail: str) -> None:
        super().__init__(detail)
        self.loss = loss


@dataclass(frozen=True, slots=True)
class OpenedRun:
    """A run in the hands of a new owner; `opens` counts since its last transition."""

    record: ExecutionRecord
    opens: int
    signal: Signal | None


class StateManager:
    """Runs in Redis. Every method raises FlowError STORE_UNAVAILABLE after the link's patience; then a write may
    have happened or still happen, and may be repeated. Redis forgets a run `keep_s` after its end.
    """

    def __init__(
        self,
        link: Link,
        clock: RedisClock | None = None,
        monotonic: Seconds = time.monotonic,
        *,
        keep_s: float = KEEP_S,
    ) -> None:
        self._link = link
        self._keep_ms = max(1, round(keep_s * 1000))
        self._monotonic = monotonic
        source = files("promptflow_server.store").joinpath("lua/executions.lua")
        self._library = FunctionLibrary.versioned(LAYOUT, source.read_text("utf-8"))
        self.clock = clock or RedisClock()
        self.index = RunIndex(link)

    async def create(self, record: ExecutionRecord, accepted: EventRecord) -> bool:
        """Record a new run and its first event; False where a run of this id is there already, which stays as it is.

        Nobody has promised the run yet: it is forgotten after an hour unless it is accepted or opened.
        """
        sent_at = self._monotonic()
        made, now_ms = await self._call(
            "run_create", record.execution_id, encode_record(accepted), *encode_new_head(record)
        )
        self._observe(now_ms, sent_at)
        return bool(made)

    async def accept(self, execution_id: str) -> None:
        """Keep the run until it has ended, however long it waits.

        Raises:
            FlowError: EXECUTION_NOT_FOUND.
        """
        if not await self._call("run_accept", execution_id):
            raise _not_found(execution_id)

    async def open(self, execution_id: str, epoch: int, owner: str) -> OpenedRun:
        """Take the run over; owners of lower epochs cannot write from now on.

        Raises:
            RunLostError: GONE, ENDED, or FENCED by an owner of a higher epoch.
        """
        sent_at = self._monotonic()
        head_reply, steps_reply, now_ms = await self._write("run_open", execution_id, epoch, owner)
        self._observe(now_ms, sent_at)
        head = pairs(head_reply)
        record = decode_run(execution_id, head, pairs(steps_reply))
        return OpenedRun(record, int(head[b"opens"]), _signal(head.get(b"sig", b"")))

    async def commit(
        self,
        execution_id: str,
        *,
        epoch: int,
        sequence: int,
        head: HeadChange,
        steps: Sequence[StepRecord] = (),
        events: Sequence[EventRecord] = (),
    ) -> Signal | None:
        """Write one transition of the run that stood at `sequence`; answers what others ask of its owner.

        The transition that ends the run also sets when it is forgotten.

        Raises:
            RunLostError: another owns the run, it has ended, or it does not stand at `sequence`.
        """
        head_fields = encode_head_change(head)
        step_fields = [field for step in steps for field in (step.path, encode_record(step))]
        _, signal = await self._write(
            "run_commit",
            execution_id,
            *(epoch, sequence, self._keep_ms),
            *(len(head_fields) // 2, *head_fields),
            *(len(steps), *step_fields),
            *map(encode_record, events),
        )
        return _signal(signal)

    async def signal(self, execution_id: str, signal: Signal) -> ExecutionStatus:
        """Leave a signal for the owner and push it there; answers the status. A run that has ended stays as it is.

        Raises:
            FlowError: EXECUTION_NOT_FOUND.
        """
        try:
            status, owner = await self._write("run_signal", execution_id, signal)
        except RunLostError:
            raise _not_found(execution_id) from None
        if owner:
            await self._link.execute("SPUBLISH", keys.signals(owner.decode()), execution_id)
        return ExecutionStatus(status.decode())

    async def signal_of(self, execution_id: str) -> Signal | None:
        """The signal that waits for the owner of the run."""
        return _signal(await self._link.execute("HGET", keys.execution_head(execution_id), "sig") or b"")

    async def status_of(self, execution_id: str) -> ExecutionStatus | None:
        """The status of the run; None: there is none, or it is forgotten."""
        status: bytes | None = await self._link.execute("HGET", keys.execution_head(execution_id), "status")
        return None if status is None else ExecutionStatus(status.decode())

    async def read(self, execution_id: str) -> ExecutionRecord:
        """The run as it stands.

        Raises:
            FlowError: EXECUTION_NOT_FOUND.
        """
        head, steps = await self._call("run_read", execution_id)
        if not head:
            raise _not_found(execution_id)
        return decode_run(execution_id, pairs(head), pairs(steps))

    async def events(self, execution_id: str, after: int, limit: int = EVENTS_PER_READ) -> list[EventRecord]:
        """Stored events above the sequence `after`, in order, at most `limit`."""
        entries = await self._link.execute(
            "XRANGE", keys.execution_events(execution_id), f"{after + 1}-0", "+", "COUNT", limit
        )
        return [_event(entry) for entry in entries]

    async def last_event(self, execution_id: str) -> EventRecord:
        """The latest stored event.

        Raises:
            FlowError: EXECUTION_NOT_FOUND.
        """
        entries = await self._link.execute("XREVRANGE", keys.execution_events(execution_id), "+", "-", "COUNT", 1)
        if not entries:
            raise _not_found(execution_id)
        return _event(entries[0])

    async def announce(self, execution_id: str, message: bytes) -> None:
        """Push something unstored to whoever follows the run."""
        await self._link.execute("SPUBLISH", keys.execution_events(execution_id), message)

    def follow(self, execution_id: str, on_message: OnMessage) -> Callable[[], None]:
        """Listen to a run: the sequence of each new event as a decimal, what was announced, and None where some may
        have been missed. Returns what ends it.
        """
        return self._link.subscribe(keys.execution_events(execution_id), on_message)

    def signalled(self, owner: str, on_message: OnMessage) -> Callable[[], None]:
        """Listen to the signals of all runs of an owner: their execution ids, and None where some may have been
        missed. Returns what ends it.
        """
        return self._link.subscribe(keys.signals(owner), on_message)

    async def list_open(self, execution_id: str, created_at_ms: int) -> None:
        """Enter the run in the index of open runs."""
        await self._link.execute("ZADD", keys.open_runs(), created_at_ms, execution_id)

    async def unlist_open(self, execution_id: str) -> None:
        """Strike the run from the index of open runs."""
        await self._link.execute("ZREM", keys.open_runs(), execution_id)

    async def open_runs(self, created_before_ms: int, *, offset: int, limit: int) -> list[str]:
        """Ids of the index of open runs, oldest first. The index may name runs that have ended."""
        found: Iterable[bytes] = await self._link.execute(
            "ZRANGE", keys.open_runs(), "-inf", created_before_ms, "BYSCORE", "LIMIT", offset, limit
        )
        return [name.decode() for name in found]

    def _observe(self, now_ms: int, sent_at: float) -> None:
        # When in a slow round trip Redis looked at its clock is not known.
        if self._monotonic() - sent_at < PROMPT_S:
            self.clock.observe(now_ms, sent_at)

    async def _write(self, function: str, execution_id: str, *arguments: Any) -> Any:
        try:
            return await self._call(function, execution_id, *arguments)
        except ResponseError as error:
            code = str(error).split(" ", 1)[0]
            if code not in Loss.__members__:
                raise
            raise RunLostError(Loss(code), f"run {execution_id}: {error}") from None

    async def _call(self, function: str, execution_id: str, *arguments: Any) -> Any:
        run = (
            keys.execution_head(execution_id),
            keys.execution_steps(execution_id),
            keys.execution_events(execution_id),
        )
        return await self._link.fcall(self._library, function, run, arguments)


def same_inputs(left: Mapping[str, NativeValue], right: Mapping[str, NativeValue]) -> bool:
    """Whether two requests ask for the same; the order of keys says nothing, and NaN equals itself."""
    return encode_value(_sorted(left)) == encode_value(_sorted(right))


def _sorted(value: NativeValue) -> NativeValue:
    match value:
        case Mapping():
            entries: Mapping[str, NativeValue] = value  # pyright: ignore[reportUnknownVariableType]
            return {key: _sorted(entries[key]) for key in sorted(entries)}
        case list() | tuple():
            return [_sorted(item) for item in value]  # pyright: ignore[reportUnknownVariableType]
        case _:
            return value


def _signal(text: bytes) -> Signal | None:
    return Signal(text.decode()) if text else None


def _event(entry: Sequence[Any]) -> EventRecord:
    return decode_record(entry[1][1], EventRecord)


def _not_found(execution_id: str) -> FlowError:
    return FlowError(
        Reason.EXECUTION_NOT_FOUND,
        f"no execution `{execution_id}`; it never was, or it is no longer kept",
        metadata={"execution_id": execution_id},
    )
