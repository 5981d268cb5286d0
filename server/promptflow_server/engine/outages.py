"""Going on after Redis was away."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from promptflow_core.errors import FlowError, Reason

FIRST_BACKOFF_S, MAX_BACKOFF_S = 0.05, 1.0

T = TypeVar("T")


async def outlast(attempt: Callable[[], Awaitable[T]]) -> T:
    """The answer to something that may be done twice, however long Redis is away. Any other failure is raised."""
    backoff_s = FIRST_BACKOFF_S
    while True:
        try:
            return await attempt()
        except FlowError as error:
            if error.record.reason is not Reason.STORE_UNAVAILABLE:
                raise
        await asyncio.sleep(backoff_s)
        backoff_s = min(MAX_BACKOFF_S, backoff_s * 2)
