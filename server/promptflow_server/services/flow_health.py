"""Whether what a flow needs is there: Redis, and a live worker for each pool that its steps name."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from promptflow_codegen.plan import FlowPlan
from promptflow_core.errors import FlowError
from promptflow_server.services.contracts import FlowContract, Message
from promptflow_workers.dispatch.interface import CallDispatch

DEADLINE_S = 2.0

Ping = Callable[[], Awaitable[None]]
"""Raises FlowError where Redis does not answer."""


class FlowHealth:
    """Asks the parts that one flow needs, all at once and each for a bounded time."""

    def __init__(self, contract: FlowContract, ping: Ping, calls: CallDispatch) -> None:
        self._contract = contract
        self._ping = ping
        self._calls = calls

    async def check(self, within_s: float | None = None) -> Message:
        """A CheckHealthResponse, at the latest `within_s` from now.

        A part that does not answer is not serving, with what to do.
        """
        limit_s = DEADLINE_S if within_s is None else min(DEADLINE_S, within_s)
        names = ["redis", *(f"queue/{queue}" for queue in queues_of(self._contract.plan))]
        checks = [self._check_redis(), *(self._check_queue(queue) for queue in queues_of(self._contract.plan))]
        problems = await asyncio.gather(*(_bounded(check, limit_s) for check in checks))
        response = self._contract.check_health_response(serving=not any(problems))
        for name, problem in zip(names, problems, strict=True):
            response.components.add(name=name, serving=not problem, message=problem)
        return response

    async def _check_redis(self) -> str:
        await self._ping()
        return ""

    async def _check_queue(self, queue: str) -> str:
        depth = await self._calls.depth(queue)
        if depth.workers:
            return ""
        state = f"no worker of the pool `{queue}` is alive and {depth.waiting} calls wait"
        return f"{state}; start one: `promptflow worker --queue {queue}`"


def queues_of(plan: FlowPlan) -> tuple[str, ...]:
    """The pools that the steps of a flow need, those of the flows that they run too, sorted."""
    own = {step.queue for step in plan.steps if step.queue is not None}
    return tuple(sorted(own.union(*(step.pools for step in plan.steps))))


async def _bounded(check: Awaitable[str], limit_s: float) -> str:
    try:
        async with asyncio.timeout(limit_s):
            return await check
    except TimeoutError:
        return f"no answer within {limit_s:.2g} s; see whether it runs and can be reached"
    except FlowError as error:
        return error.record.message
