"""Calls to worker pools on behalf of the runs of this process: sent, answered, sent again, given up without workers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
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
IsWaitedFor = Callable[[str], Awaitable[bool]]

_log = structlog.get_logger(__name__)


@dataclass(eq=False, slots=True)
class _Pending:
    queue: str
    call: Call
    on_reply: OnReply
    since: float
    put_at: float


class PoolCalls:
    """Knows every call that a run of this process waits for; drops what nobody here waits for.

    `is_waited_for` tells whether the owner of a run may still ask for a result that nobody here waits for; where it may
    not, the result is acknowledged.
    """

    def __init__(
        self,
        calls: CallDispatch,
        *,
        is_waited_for: IsWaitedFor,
        no_workers_after_s: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._calls = calls
        self._is_waited_for = is_waited_for
        self._no_workers_after_s = no_workers_after_s
        self._monotonic = monotonic
        self._pending: dict[str, _Pending] = {}
        self._staffed_at: dict[str, float] = {}
        self._farewells: dict[tuple[str, bool], list[str]] = {}
        self._has_farewells = asyncio.Event()
        self._queues: set[str] = set()
        self._strays: set[str] = set()
        self._has_strays = asyncio.Event()

    async def put(self, queue: str, calls: list[Call], on_reply: OnReply) -> None:
        """Send calls, however long Redis is away; `on_reply` hears their answers until they are forgotten.

        Raises:
            FlowError: the queue refuses them for a reason that does not pass.
        """
        now = self._monotonic()
        self._queues.add(queue)
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
            group.create_task(self._look_after_strays())

    async def _deliver(self) -> None:
        async with aclosing(cast("Any", self._calls.replies())) as replies:
            answers: AsyncIterator[CallResult | CallProgress] = replies
            async for reply in answers:
                pending = self._pending.get(reply.call_id)
                if pending is not None:
                    pending.on_reply(reply)
                elif isinstance(reply, CallResult):
                    self._strays.add(reply.call_id)
                    self._has_strays.set()

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
            for queue in {pending.queue for pending in self._pending.values()}:
                with suppress(FlowError):  # then at the next look
                    await self._put_again(queue)
                    await self._give_up_without_workers(queue)

    async def _look_after_strays(self) -> None:
        """Results that came twice, or too late: where no owner of their run waits for them, they need not be kept."""
        while True:
            await self._has_strays.wait()
            self._has_strays.clear()
            strays, self._strays = self._strays, set()
            for call_id in strays:
                with suppress(FlowError):  # it goes by itself
                    if not await self._is_waited_for(call_id.partition("/")[0]) and call_id not in self._pending:
                        for queue in self._queues:
                            self._remember_farewell(queue, call_id, is_cancelled=False)

    def _pending_on(self, queue: str) -> list[_Pending]:
        return [pending for pending in self._pending.values() if pending.queue == queue]

    async def _put_again(self, queue: str) -> None:
        """A queue that lost its last writes hears of its calls again; where it did not, nothing happens."""
        now = self._monotonic()
        overdue = [pending for pending in self._pending_on(queue) if now - pending.put_at >= PUT_AGAIN_S]
        for pending in overdue:
            pending.put_at = now
        if overdue:
            await self._calls.put(queue, [pending.call for pending in overdue])

    async def _give_up_without_workers(self, queue: str) -> None:
        depth = await self._calls.depth(queue)
        now = self._monotonic()
        if depth.workers > 0:
            self._staffed_at[queue] = now
            return
        staffed_at = self._staffed_at.get(queue, float("-inf"))
        message = f"no worker serves the queue `{queue}`; start one with `promptflow worker --queue {queue}`"
        error = ErrorRecord(Reason.NO_WORKERS, message, {"queue": queue})
        for pending in self._pending_on(queue):
            call_id = pending.call.id
            if now - max(pending.since, staffed_at) >= self._no_workers_after_s:
                self.cancel(queue, call_id)
                pending.on_reply(CallResult(call_id, error=error))
