"""Going on after Redis was away."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import TypeVar

from promptflow_core.errors import FlowError, Reason
from promptflow_workers.dispatch.backoff import REDIS_AWAY

T = TypeVar("T")


async def outlast(attempt: Callable[[], Awaitable[T]], *, rng: Random | None = None) -> T:
    """The answer to something that may be done twice, however long Redis is away. Any other failure is raised."""
    failures = 0
    while True:
        try:
            return await attempt()
        except FlowError as error:
            if error.record.reason is not Reason.STORE_UNAVAILABLE:
                raise
        failures += 1
        rng = rng or Random()
        await asyncio.sleep(REDIS_AWAY.delay_s(failures, rng))
