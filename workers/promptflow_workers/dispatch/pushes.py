"""One connection for what the server says unasked: messages of sharded channels."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random
from typing import Any

import structlog
from redis.exceptions import RedisError

from promptflow_workers.dispatch.backoff import REDIS_AWAY
from promptflow_workers.dispatch.wire import Wire

PING_S, SILENCE_S = 5.0, 15.0

OnMessage = Callable[[bytes | None], None]
"""Gets each message; None says that some may have been missed: look again. Must not block."""

_log = structlog.get_logger(__name__)


class Pushes:
    """Keeps subscriptions alive over lost connections."""

    def __init__(self, wire: Wire, rng: Random) -> None:
        self._wire = wire
        self._rng = rng
        self._listeners: dict[bytes, list[OnMessage]] = {}
        self._outbox: asyncio.Queue[tuple[str, ...]] = asyncio.Queue()
        self._keeper: asyncio.Task[None] | None = None

    def subscribe(self, channel: str, on_message: OnMessage) -> Callable[[], None]:
        """Call `on_message` for each message, and with None once the subscription stands, now and after each loss.

        Returns what ends the subscription.
        """
        self._listeners.setdefault(channel.encode(), []).append(on_message)
        # Where others listen already, a second SSUBSCRIBE confirms again, which is all that a newcomer needs.
        self._outbox.put_nowait(("SSUBSCRIBE", channel))
        if self._keeper is None:
            self._keeper = asyncio.get_running_loop().create_task(self._keep())
        return lambda: self._unsubscribe(channel, on_message)

    async def close(self) -> None:
        """Drop the connection; nobody is called any more."""
        self._listeners.clear()
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait([self._keeper])
        await self._wire.disconnect()

    def _unsubscribe(self, channel: str, on_message: OnMessage) -> None:
        listeners = self._listeners.get(channel.encode(), [])
        if on_message in listeners:
            listeners.remove(on_message)
        if not listeners and self._listeners.pop(channel.encode(), None) is not None:
            self._outbox.put_nowait(("SUNSUBSCRIBE", channel))

    async def _keep(self) -> None:
        failures = 0
        while True:
            try:
                async with asyncio.timeout(SILENCE_S):
                    await self._wire.connect()
                failures = 0
                self._outbox = asyncio.Queue()
                for channel in self._listeners:
                    self._outbox.put_nowait(("SSUBSCRIBE", channel.decode()))
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._write())
                    group.create_task(self._read())
            except* (RedisError, OSError, TimeoutError):
                failures += 1
            await self._wire.disconnect(nowait=True)
            await asyncio.sleep(REDIS_AWAY.delay_s(failures, self._rng))

    async def _write(self) -> None:
        while True:
            try:
                async with asyncio.timeout(PING_S):
                    command = await self._outbox.get()
            except TimeoutError:
                command = ("PING",)
            await self._wire.send_command(*command, check_health=False)

    async def _read(self) -> None:
        while True:
            async with asyncio.timeout(SILENCE_S):
                reply: Any = await self._wire.read_response()
            if reply[0] == b"smessage":
                self._deliver(reply[1], reply[2])
            elif reply[0] == b"ssubscribe":
                self._deliver(reply[1], None)

    def _deliver(self, channel: bytes, message: bytes | None) -> None:
        for on_message in tuple(self._listeners.get(channel, ())):
            try:
                on_message(message)
            except Exception:  # one deaf listener must not deafen the process
                _log.exception("listener_failed", channel=channel.decode(errors="replace"))
