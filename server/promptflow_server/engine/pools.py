"""Calls to worker pools on behalf of the runs of this process: sent, answered, sent again, given up without workers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any, cast

import structlog

from promptflow_core.errors import ErrorRecord, FlowError, Reason
from promptflow_core.records import Call, CallProgress, CallResult
from promptflow_server.engine.outages import outlast
from promptflow_workers.dispatch.interface import CallDispatch

PUT_AGAIN_S = 10.0
LOOK_S = 1.0

OnReply = Callable[[CallResult | CallProgress], None]

_log = structlog.get_logger(__name__)


@dataclass(eq=False, slots=True)
class _Pending:
    queue: str
    call: Call
    on_reply: OnReply
    since: float
    put_at: float


class PoolCalls:
    """Knows every call that a run of this process waits for. What nobody here waits for is dropped."""

    def __init__(
        self, calls: CallDispatch, *, no_workers_after_s: float, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._calls = calls
        self._no_workers_after_s = no_workers_after_s
        self._monotonic = monotonic
        self._pending: dict[str, _Pending] = {}
        self._staffed_at: dict[str, float] = {}
        self._farewells: dict[tuple[str, bool], list[str]] = {}
        self._has_farewells = asyncio.Event()

    async def put(self, queue: str, calls: list[Call], on_reply: OnReply) -> None:
        """Send calls, however long Redis is away; `on_reply` hears their answers until they are forgotten.

        Raises:
            FlowError: the queue refuses them for a reason that does not pass.
        """
        now = self._monotonic()
        for call in calls:
            self._pending[call.id] = _Pending(queue, call, on_reply, now, now)
        await outlast(lambda: self._calls.put(queue, calls))

    def ack(self, queue: str, call_id: str) -> None:
        """The result is recorded; dispatch hears it soon."""
        self._pending.pop(call_id, None)
        self._remember_farewell(queue, call_id, is_cancelled=False)

    def cancel(self, queue: str, call_id: str) -> None:
        """Nobody waits for the call any more; dispatch hears it soon."""
        self._pending.pop(call_id, None)
        self._remember_farewell(queue, call_id, is_cancelled=True)

    def forget(self, call_ids: Iterable[str]) -> None:
        """Their run is another's now."""
        for call_id in call_ids:
            self._pending.pop(call_id, None)

    async def run(self) -> None:
        """Deliver answers and keep what is pending alive, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._deliver())
            group.create_task(self._say_farewells_forever())
            group.create_task(self._look_after_pending())

    async def _deliver(self) -> None:
        async with aclosing(cast("Any", self._calls.replies())) as replies:
            answers: AsyncIterator[CallResult | CallProgress] = replies
            async for reply in answers:
                pending = self._pending.get(reply.call_id)
                if pending is not None:
                    pending.on_reply(reply)

    def _remember_farewell(self, queue: str, call_id: str, *, is_cancelled: bool) -> None:
        self._farewells.setdefault((queue, is_cancelled), []).append(call_id)
        self._has_farewells.set()

    async def say_farewells(self) -> None:
        """Tell dispatch now what it should forget."""
        farewells, self._farewells = self._farewells, {}
        for (queue, is_cancelled), call_ids in farewells.items():
            say = self._calls.cancel if is_cancelled else self._calls.ack
            try:
                await say(queue, call_ids)
            except FlowError as error:
                # A result that nobody acknowledges, a call that nobody wants: both go by themselves.
                _log.warning("farewell_failed", queue=queue, calls=len(call_ids), error=str(error))

    async def _say_farewells_forever(self) -> None:
        while True:
            await self._has_farewells.wait()
            await asyncio.sleep(0)  # what else ends in this turn goes with it
            self._has_farewells.clear()
            await self.say_farewells()

    async def _look_after_pending(self) -> None:
        while True:
            await asyncio.sleep(min(LOOK_S, self._no_workers_after_s / 2))
            queues: dict[str, list[_Pending]] = {}
            for pending in self._pending.values():
                queues.setdefault(pending.queue, []).append(pending)
            for queue, all_pending in queues.items():
                with suppress(FlowError):  # then at the next look
                    await self._put_again(queue, all_pending)
                    await self._give_up_without_workers(queue, all_pending)

    async def _put_again(self, queue: str, all_pending: list[_Pending]) -> None:
        """A queue that lost its last writes hears of its calls again; where it did not, nothing happens."""
        now = self._monotonic()
        overdue = [pending for pending in all_pending if now - pending.put_at >= PUT_AGAIN_S]
        for pending in overdue:
            pending.put_at = now
        if overdue:
            await self._calls.put(queue, [pending.call for pending in overdue])

    async def _give_up_without_workers(self, queue: str, all_pending: list[_Pending]) -> None:
        depth = await self._calls.depth(queue)
        now = self._monotonic()
        if depth.workers > 0:
            self._staffed_at[queue] = now
            return
        staffed_at = self._staffed_at.get(queue, float("-inf"))
        message = f"no worker serves the queue `{queue}`; start one with `promptflow worker --queue {queue}`"
        error = ErrorRecord(Reason.NO_WORKERS, message, {"queue": queue})
        for pending in all_pending:
            call_id = pending.call.id
            if call_id in self._pending and now - max(pending.since, staffed_at) >= self._no_workers_after_s:
                self.cancel(queue, call_id)
                pending.on_reply(CallResult(call_id, error=error))
