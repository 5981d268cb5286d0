"""One connection for commands: what is issued in one turn of the loop leaves in one write."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from redis.exceptions import DataError, OutOfMemoryError, ReadOnlyError, RedisError, ResponseError

from promptflow_core.errors import FlowError, Reason
from promptflow_workers.dispatch.backoff import REDIS_AWAY
from promptflow_workers.dispatch.wire import Argument, Wire

ROUND_TRIP_S = 5.0
MAX_BATCH = 512

# Replies that pass: the connection stays, the command is sent again. redis-py has no classes for these.
_TRANSIENT = ("MISCONF", "BUSY ", "CLUSTERDOWN", "TRYAGAIN", "MASTERDOWN", "NOREPLICAS")


@dataclass(eq=False, slots=True)
class _Command:
    packed: Sequence[bytes]
    reply: asyncio.Future[Any]
    refusals: int = 0


class CommandPipeline:
    """Sends commands in the order they were issued, one batch after the other, and again after a lost connection.

    Hence a command may take effect twice, and one whose caller gave up may still take effect: commands are idempotent.
    """

    def __init__(self, wire: Wire, rng: Random) -> None:
        self._wire = wire
        self._rng = rng
        self._waiting: deque[_Command] = deque()
        self._sender: asyncio.Task[None] | None = None
        self._last_error = "no answer"
        self._is_closed = False

    async def execute(self, arguments: tuple[Argument, ...], patience_s: float) -> Any:
        """The reply to one command.

        Raises:
            FlowError: STORE_UNAVAILABLE after `patience_s`; INTERNAL where an argument cannot be encoded.
            redis.exceptions.ResponseError: the server refused the command for a reason that does not pass.
        """
        command = _Command(self._pack(arguments), asyncio.get_running_loop().create_future())
        self._enqueue(command)
        try:
            async with asyncio.timeout(patience_s):
                return await command.reply
        except TimeoutError:
            raise self._unavailable(f"for {patience_s:g} s: {self._last_error}") from None

    async def close(self) -> None:
        """Drop the connection; commands without an answer fail with STORE_UNAVAILABLE."""
        self._is_closed = True
        if self._sender is not None:
            self._sender.cancel()
            await asyncio.wait([self._sender])
        for command in self._waiting:
            if not command.reply.done():
                command.reply.set_exception(self._unavailable("because this process has closed its link"))
        self._waiting.clear()
        await self._wire.disconnect()

    def _enqueue(self, command: _Command) -> None:
        if self._is_closed:
            if not command.reply.done():
                command.reply.set_exception(self._unavailable("because this process has closed its link"))
            return
        self._waiting.append(command)
        if self._sender is None or self._sender.done():
            self._sender = asyncio.get_running_loop().create_task(self._send_all())

    def _pack(self, arguments: tuple[Argument, ...]) -> Sequence[bytes]:
        try:
            return self._wire.pack_command(*arguments)
        except (DataError, UnicodeError) as error:
            raise FlowError(
                Reason.INTERNAL, f"an argument of {arguments[0]!r} cannot be encoded for Redis: {error}"
            ) from error

    async def _send_all(self) -> None:
        failures = 0
        while self._waiting:
            batch = self._next_batch()
            try:
                async with asyncio.timeout(ROUND_TRIP_S):
                    await self._round_trip(batch)
                failures = 0
            except (RedisError, OSError, TimeoutError) as error:
                self._last_error = str(error) or f"no answer within {ROUND_TRIP_S:g} s"
                self._put_back(batch)
                await self._wire.disconnect(nowait=True)
                failures += 1
                await asyncio.sleep(REDIS_AWAY.delay_s(failures, self._rng))
            except asyncio.CancelledError:
                self._put_back(batch)
                raise

    def _next_batch(self) -> list[_Command]:
        batch: list[_Command] = []
        while self._waiting and len(batch) < MAX_BATCH:
            command = self._waiting.popleft()
            if not command.reply.done():
                batch.append(command)
        return batch

    def _put_back(self, batch: Sequence[_Command]) -> None:
        self._waiting.extendleft(command for command in reversed(batch) if not command.reply.done())

    async def _round_trip(self, batch: Sequence[_Command]) -> None:
        await self._wire.send_packed_command([part for command in batch for part in command.packed])
        for command in batch:
            try:
                reply: Any = await self._wire.read_response()
            except ResponseError as error:
                self._refused(command, error)
            else:
                if not command.reply.done():
                    command.reply.set_result(reply)

    def _refused(self, command: _Command, error: ResponseError) -> None:
        if command.reply.done():
            return
        if not _is_transient(error):
            command.reply.set_exception(error)
            return
        self._last_error = str(error)
        command.refusals += 1
        delay_s = REDIS_AWAY.delay_s(command.refusals, self._rng)
        asyncio.get_running_loop().call_later(delay_s, self._enqueue, command)

    def _unavailable(self, why: str) -> FlowError:
        return FlowError(Reason.STORE_UNAVAILABLE, f"Redis is not available {why}", retry_after_ms=1000)


def _is_transient(error: ResponseError) -> bool:
    return isinstance(error, OutOfMemoryError | ReadOnlyError) or str(error).startswith(_TRANSIENT)
