"""What the engine asks of dispatch; how calls reach workers is nobody else's business."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from promptflow_core.records import Call, CallProgress, CallResult


@dataclass(frozen=True, slots=True)
class QueueDepth:
    """How a pool stands: live workers that take calls, calls waiting, age of the oldest.

    A worker that still loads its models, or drains, is not counted.
    """

    workers: int
    waiting: int
    oldest_ms: int


class CallDispatch(Protocol):
    """Calls to worker pools, for one server process. Delivery is at least once; a result stays until `ack`."""

    async def put(self, queue: str, calls: Sequence[Call]) -> None:
        """Enqueue calls. Idempotent by call id: a call that waits or runs has its reply re-pointed to this process,
        the stored result of one that has finished is sent again.

        Raises:
            FlowError: STORE_UNAVAILABLE.
        """
        ...

    def replies(self) -> AsyncIterator[CallResult | CallProgress]:
        """Everything that workers answer to this process; one consumer. Survives loss of the connection."""
        ...

    async def ack(self, queue: str, call_ids: Sequence[str]) -> None:
        """Forget finished calls whose results are recorded."""
        ...

    async def cancel(self, queue: str, call_ids: Sequence[str]) -> None:
        """Drop waiting calls and tell workers to stop running ones; no result follows."""
        ...

    async def depth(self, queue: str) -> QueueDepth:
        """The pool's state, for health and for the error NO_WORKERS."""
        ...


@dataclass(frozen=True, slots=True)
class Claim:
    """A run handed to this server. `epoch` grows with every hand-off of the run and fences older owners."""

    execution_id: str
    epoch: int


RunHandler = Callable[[Claim], Awaitable[None]]
"""Drives one run to its end, or returns early where another owner took over. Cancelled when the lease is lost."""


class RunDispatch(Protocol):
    """The queue `flows`: which server drives which run."""

    async def put(self, execution_id: str, *, to_self: bool) -> None:
        """Hand a run to any server, or to this one at once. A no-op while the run waits or is owned.

        Raises:
            FlowError: STORE_UNAVAILABLE.
        """
        ...

    async def serve(self, handler: RunHandler) -> None:
        """Claim runs and call `handler` for each, concurrently, until cancelled; renews the lease meanwhile.

        When `handler` returns the run leaves the queue; when it raises it goes back for another hand-off.
        """
        ...

    async def drain(self, grace_s: float = 0.0) -> None:
        """Take no more runs from now on, let the owned ones end for `grace_s`, then give the rest back."""
        ...
