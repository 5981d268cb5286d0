"""StepExecutor: one call of a step, run where it belongs, its answer fitted to what the plan promises."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from functools import partial

import msgspec

from promptflow_core.coercion import CoercionError, coerce
from promptflow_core.errors import ErrorRecord, FlowError, Reason
from promptflow_core.records import Call, CallProgress, CallResult
from promptflow_core.types import ObjectType
from promptflow_core.values import decode_value
from promptflow_server.engine.inline import InlineExecutors
from promptflow_server.engine.pools import PoolCalls
from promptflow_server.engine.transitions import CallFinished, CallProgressed

_MISFITS = (CoercionError, msgspec.MsgspecError, ArithmeticError, AttributeError, RecursionError, TypeError, ValueError)

OnAnswer = Callable[[CallFinished | CallProgressed], None]


class StepExecutor:
    """Starts calls and hears their answers. Starting the same call again is harmless."""

    def __init__(self, inline: InlineExecutors, pools: PoolCalls) -> None:
        self._inline = inline
        self._pools = pools
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def start(self, queue: str | None, calls: list[Call], output: ObjectType, on_answer: OnAnswer) -> None:
        """Run calls of one step in this process, or put them on a queue. Returns when they are on their way."""
        if queue is None:
            for call in calls:
                if call.id not in self._tasks:
                    task = asyncio.create_task(self._run_inline(call, output, on_answer))
                    self._tasks[call.id] = task
                    task.add_done_callback(partial(self._forget_task, call.id))
            return
        try:
            await self._pools.put(queue, calls, partial(_on_reply, output, on_answer))
        except FlowError as error:
            for call in calls:
                on_answer(CallFinished(call.id, error=error.record))

    def cancel(self, queue: str | None, call_id: str) -> None:
        """Stop a call; no answer follows."""
        if queue is not None:
            self._pools.cancel(queue, call_id)
        elif call_id in self._tasks:
            self._tasks.pop(call_id).cancel()

    def ack(self, queue: str, call_id: str) -> None:
        """The answer is recorded."""
        self._pools.ack(queue, call_id)

    def forget(self, call_ids: Iterable[str]) -> None:
        """Hear no more of these calls; what runs in this process stops, what runs elsewhere goes on."""
        call_ids = list(call_ids)
        self._pools.forget(call_ids)
        for call_id in call_ids:
            self.cancel(None, call_id)

    async def say_farewells(self) -> None:
        """Pass on what was acknowledged and cancelled; for the end of the process."""
        await self._pools.say_farewells()

    async def run(self) -> None:
        """Serve until cancelled."""
        try:
            await self._pools.run()
        finally:
            for task in self._tasks.values():
                task.cancel()
            await self._inline.close()

    async def _run_inline(self, call: Call, output: ObjectType, on_answer: OnAnswer) -> None:
        answer = await self._inline.run(call, on_answer)
        if isinstance(answer, ErrorRecord):
            on_answer(CallFinished(call.id, error=answer))
        else:
            on_answer(_fitted(call.id, answer, output, worker=""))

    def _forget_task(self, call_id: str, task: asyncio.Task[None]) -> None:
        if self._tasks.get(call_id) is task:
            del self._tasks[call_id]


def _on_reply(output: ObjectType, on_answer: OnAnswer, reply: CallResult | CallProgress) -> None:
    if isinstance(reply, CallProgress):
        on_answer(CallProgressed(reply.call_id, reply.percentage, reply.message))
    elif reply.error is not None or reply.output is None:
        error = reply.error or ErrorRecord(Reason.INTERNAL, "a worker answered neither output nor error")
        on_answer(CallFinished(reply.call_id, error=error, worker=reply.worker))
    else:
        on_answer(_fitted(reply.call_id, reply.output, output, worker=reply.worker))


def _fitted(call_id: str, data: bytes, output: ObjectType, *, worker: str) -> CallFinished:
    try:
        return CallFinished(call_id, output=coerce(decode_value(data), output), worker=worker)
    except _MISFITS as error:
        message = f"the output does not fit the flow: {error}; run `promptflow generate` and restart the workers"
        return CallFinished(call_id, error=ErrorRecord(Reason.OUTPUT_INVALID, message), worker=worker)
