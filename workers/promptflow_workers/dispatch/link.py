"""What a process has to Redis: one connection for commands, one for pushes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from types import TracebackType
from typing import Any, Self

from redis.exceptions import ResponseError

from promptflow_workers.dispatch.commands import CommandPipeline
from promptflow_workers.dispatch.functions import FunctionLibrary
from promptflow_workers.dispatch.pushes import OnMessage, Pushes
from promptflow_workers.dispatch.wire import Argument, wires


class Link:
    """Commands and pushes over connections that come back by themselves; connects with the first use.

    Redis may be away at the start and at any time: a command waits up to `patience_s` for it. A command may be sent
    twice, so commands must be idempotent. `rng` spreads the tries of many processes to reach it again.
    """

    def __init__(self, url: str, *, patience_s: float = 5.0, rng: Random | None = None) -> None:
        self._new_wire = wires(url)
        self._patience_s = patience_s
        self._rng = rng or Random()
        self._commands: CommandPipeline | None = None
        self._pushes: Pushes | None = None

    async def execute(self, *command: Argument, patience_s: float | None = None) -> Any:
        """The reply to one command, undecoded.

        Raises:
            FlowError: STORE_UNAVAILABLE, retryable: no answer within `patience_s` (default: the link's). INTERNAL: an
                argument cannot be encoded.
            redis.exceptions.ResponseError: the server refused the command for a reason that does not pass.
        """
        if self._commands is None:
            self._commands = CommandPipeline(self._new_wire(), self._rng)
        return await self._commands.execute(command, self._patience_s if patience_s is None else patience_s)

    async def fcall(
        self,
        library: FunctionLibrary,
        function: str,
        keys: Sequence[str],
        arguments: Sequence[Argument] = (),
        *,
        patience_s: float | None = None,
    ) -> Any:
        """The reply of a server-side function, which is loaded where the server does not have it (any more).

        Raises:
            FlowError, redis.exceptions.ResponseError: as `execute`; the function's own error replies are of the latter.
        """
        command = ("FCALL", library.qualified(function), len(keys), *keys, *arguments)
        try:
            return await self.execute(*command, patience_s=patience_s)
        except ResponseError as error:
            if "Function not found" not in str(error):
                raise
        await self._load(library)
        return await self.execute(*command, patience_s=patience_s)

    def subscribe(self, channel: str, on_message: OnMessage) -> Callable[[], None]:
        """Listen to a sharded channel. `on_message` gets each message, and None whenever some may have been missed:
        once the subscription stands and after every loss of the connection. Returns what ends it.
        """
        if self._pushes is None:
            self._pushes = Pushes(self._new_wire(), self._rng)
        return self._pushes.subscribe(channel, on_message)

    async def close(self) -> None:
        """Drop both connections; commands without an answer fail with STORE_UNAVAILABLE."""
        if self._pushes is not None:
            await self._pushes.close()
        if self._commands is not None:
            await self._commands.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def _load(self, library: FunctionLibrary) -> None:
        try:
            await self.execute("FUNCTION", "LOAD", library.code)
        except ResponseError as error:
            if "already exists" not in str(error):
                raise
