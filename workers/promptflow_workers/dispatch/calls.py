"""Calls to worker pools, as a server process makes them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from itertools import chain

import msgspec
import structlog

from promptflow_core.errors import FlowError
from promptflow_core.records import Call, CallProgress, CallResult
from promptflow_workers.dispatch.interface import QueueDepth
from promptflow_workers.dispatch.link import Link
from promptflow_workers.dispatch.queue import Queue, pages
from promptflow_workers.dispatch.turns import TurnBatch

REREAD_S = 2.0
FIRST_ENTRY = "0-0"

_log = structlog.get_logger(__name__)


class RedisCallDispatch:
    """`CallDispatch` over Redis. `process` names this server process and is never used by another, nor again."""

    def __init__(self, link: Link, process: str) -> None:
        self._link = link
        self._process = process
        self._pools: dict[str, _Pool] = {}
        self._news = asyncio.Event()

    async def put(self, queue: str, calls: Sequence[Call]) -> None:
        """See `CallDispatch.put`."""
        pool = self._pools.get(queue)
        if pool is None:
            pool = self._pools[queue] = _Pool(Queue(self._link, queue), self._process, self._news)
        await pool.puts.add(calls)

    async def replies(self) -> AsyncIterator[CallResult | CallProgress]:
        """See `CallDispatch.replies`."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(REREAD_S):
                    await self._news.wait()
            self._news.clear()
            # A page of each, so that a pool that answers without end starves no other.
            found = await asyncio.gather(*(pool.unread() for pool in tuple(self._pools.values())))
            for reply in chain.from_iterable(found):
                yield reply

    async def ack(self, queue: str, call_ids: Sequence[str]) -> None:
        """See `CallDispatch.ack`."""
        pool = self._pools.get(queue)
        if pool is None:
            await Queue(self._link, queue).ack(call_ids)
        else:
            await pool.acks.add(call_ids)

    async def cancel(self, queue: str, call_ids: Sequence[str]) -> None:
        """See `CallDispatch.cancel`."""
        await Queue(self._link, queue).cancel(call_ids)

    async def depth(self, queue: str) -> QueueDepth:
        """See `CallDispatch.depth`."""
        return await Queue(self._link, queue).depth()

    def close(self) -> None:
        """Listen to nothing any more."""
        for pool in self._pools.values():
            pool.stop_listening()
        self._pools.clear()


class _Pool:
    """A queue that this process has put calls on, and the stream on which it is answered."""

    def __init__(self, queue: Queue, process: str, news: asyncio.Event) -> None:
        self.puts: TurnBatch[Call] = TurnBatch(self._put)
        self.acks: TurnBatch[str] = TurnBatch(queue.ack)
        self._queue = queue
        self._process = process
        self._news = news
        self._last = FIRST_ENTRY
        self.stop_listening = queue.listen_as_owner(process, self._on_news)

    async def unread(self) -> list[CallResult | CallProgress]:
        """The next page of replies, and `news` where there may be more; empty where none can be had now."""
        try:
            entries = await self._queue.replies(self._process, self._last)
        except FlowError as error:
            _log.warning("replies_unreadable", queue=self._queue.name, error=str(error))
            return []
        page: list[CallResult | CallProgress] = []
        for entry_id, fields in entries:
            self._last = entry_id
            page += [reply for kind, payload in _pairs(fields) if (reply := _decoded(kind, payload)) is not None]
        if entries:
            self._news.set()
        return page

    async def _put(self, calls: Sequence[Call]) -> None:
        encoded = [(call.id, call.epoch, msgspec.msgpack.encode(call)) for call in calls]
        for page in pages(encoded, lambda call: len(call[2])):
            await self._queue.put(self._process, page)

    def _on_news(self, message: bytes | None) -> None:
        if message is None:
            # After a fail-over the ids may begin anew; what was read is trimmed, so little comes twice.
            self._last = FIRST_ENTRY
        self._news.set()


def _pairs(fields: Sequence[bytes]) -> list[tuple[bytes, bytes]]:
    return list(zip(fields[::2], fields[1::2], strict=True))


def _decoded(kind: bytes, payload: bytes) -> CallResult | CallProgress | None:
    try:
        if kind == b"r":
            return msgspec.msgpack.decode(payload, type=CallResult)
        return msgspec.msgpack.decode(payload, type=CallProgress)
    except msgspec.MsgspecError as error:
        _log.error("reply_unreadable", kind=kind.decode(errors="replace"), error=str(error))
        return None
