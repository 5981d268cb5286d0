"""What is asked for in one turn of the loop, sent as one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")


class TurnBatch(Generic[T]):
    """Hands everything that is added in one turn of the loop to one call of `send`."""

    def __init__(self, send: Callable[[Sequence[T]], Awaitable[None]]) -> None:
        self._send = send
        self._items: list[T] = []
        self._flush: asyncio.Task[None] | None = None

    async def add(self, items: Iterable[T]) -> None:
        """Returns when they have been sent; raises what `send` raised. A caller that goes away stops nothing."""
        self._items.extend(items)
        if self._flush is None:
            self._flush = asyncio.get_running_loop().create_task(self._send_all())
            # Where every caller has gone, nobody else looks at the error.
            self._flush.add_done_callback(lambda task: task.cancelled() or task.exception())
        await asyncio.shield(self._flush)

    async def _send_all(self) -> None:
        # A task starts after what is ready in this turn.
        items, self._items, self._flush = self._items, [], None
        if items:
            await self._send(items)
