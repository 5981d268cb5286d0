"""How long a caller waits: an answer that comes after its deadline tells nobody what to do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, cast

import grpc

from promptflow_core.errors import FlowError, Reason

MAX_MARGIN_S = 0.3
MARGIN_SHARE = 0.1

_START = (
    "the run was not recorded before the deadline, though it may start yet; send the request again, with the same "
    "`request_id` if it has one"
)
_LOOK = "the store did not answer before the deadline; send the request again"


def patience_s(context: grpc.aio.ServicerContext[Any, Any]) -> float | None:
    """How long an answer may take and still reach its caller; None without a deadline."""
    # Its stub knows no call without deadline.
    remaining_s = cast("float | None", context.time_remaining())
    return None if remaining_s is None else remaining_s - min(MAX_MARGIN_S, remaining_s * MARGIN_SHARE)


@asynccontextmanager
async def start_in_time(context: grpc.aio.ServicerContext[Any, Any]) -> AsyncGenerator[None]:
    """Gives up the wait for a start, not the start, while there is time to say so.

    Raises:
        FlowError: STORE_UNAVAILABLE.
    """
    async with _in_time(patience_s(context), _START):
        yield


@asynccontextmanager
async def look_in_time(context: grpc.aio.ServicerContext[Any, Any]) -> AsyncGenerator[None]:
    """Ends something that may be done twice while there is time to say so.

    Raises:
        FlowError: STORE_UNAVAILABLE.
    """
    async with _in_time(patience_s(context), _LOOK):
        yield


@asynccontextmanager
async def _in_time(limit_s: float | None, advice: str) -> AsyncGenerator[None]:
    bound = asyncio.timeout(limit_s)
    try:
        async with bound:
            yield
    except TimeoutError:
        if not bound.expired():
            raise
        raise FlowError(Reason.STORE_UNAVAILABLE, advice) from None
