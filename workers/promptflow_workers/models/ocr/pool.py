"""Page readers of one process: started at need, reused, killed when their call is cancelled."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from pathlib import Path

from promptflow_core.errors import FlowError, Reason
from promptflow_workers.models.ocr.messages import (
    LENGTH_BYTES,
    MAX_MESSAGE_BYTES,
    Page,
    ReadPage,
    Refused,
    Reply,
    decode_reply,
    encode,
)

MAX_PAGE_S = 120.0
"""The longest that a page may take where its call has no deadline."""

_START_S = 30.0
_GRACE_S = 2.0


class ReaderPool:
    """At most `size` pages at a time, each in a process of its own."""

    def __init__(self, size: int, *, clock: Callable[[], float] = time.time) -> None:
        self._slots = asyncio.Semaphore(size)
        self._idle: list[_Reader] = []
        self._clock = clock

    async def start(self) -> None:
        """Start one reader, so that what is missing is known now.

        Raises:
            FlowError: MODEL_UNAVAILABLE, Tesseract or its data cannot be used.
        """
        self._idle.append(await _Reader.start())

    async def read(self, path: Path, *, name: str, language: str, deadline_at: float | None) -> Page:
        """Read a page; `deadline_at` is Unix seconds.

        Raises:
            FlowError: FILE_UNREADABLE, CONFIG_INVALID (language), STEP_TIMEOUT, or EXECUTOR_FAILED where the reader
                was killed from outside.
        """
        async with self._slots:
            remaining_s = MAX_PAGE_S if deadline_at is None else deadline_at - self._clock()
            if remaining_s <= 0:
                raise FlowError(Reason.STEP_TIMEOUT, f"`{name}` waited for a page reader until its deadline was over")
            reader = await self._take()
            try:
                reply = await reader.ask(ReadPage(str(path), name, language, remaining_s))
            except BaseException:
                await reader.kill()
                raise
            self._idle.append(reader)
        match reply:
            case Page():
                return reply
            case Refused(reason=reason, message=message):
                raise FlowError(Reason(reason), message)
            case _:
                raise FlowError(Reason.INTERNAL, "a page reader gave no answer to a page")

    async def close(self) -> None:
        """End all readers."""
        while self._idle:
            await self._idle.pop().kill()

    async def _take(self) -> _Reader:
        while self._idle:
            reader = self._idle.pop()
            if reader.is_alive:
                return reader
            await reader.kill()
        return await _Reader.start()


class _Reader:
    """The parent's end of one reader process."""

    def __init__(self, process: Process) -> None:
        self._process = process

    @classmethod
    async def start(cls) -> _Reader:
        # -P: a module in the working directory must not stand in for a library.
        arguments = [sys.executable, "-P", "-m", "promptflow_workers.models.ocr.reader"]
        reader = cls(await asyncio.create_subprocess_exec(*arguments, stdin=PIPE, stdout=PIPE))
        try:
            async with asyncio.timeout(_START_S):
                reply = await reader._receive()
        except (TimeoutError, asyncio.IncompleteReadError):
            await reader.kill()
            message = f"a page reader does not start; run `{' '.join(arguments[1:])}` with this Python to see why"
            raise FlowError(Reason.MODEL_UNAVAILABLE, message) from None
        except asyncio.CancelledError:
            await reader.kill()
            raise
        if isinstance(reply, Refused):
            await reader.kill()
            raise FlowError(Reason(reply.reason), reply.message)
        return reader

    @property
    def is_alive(self) -> bool:
        if self._process.returncode is not None:
            return False
        try:
            # The kernel knows before the loop hears of it; WNOWAIT leaves the status to the loop.
            return os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
        except ChildProcessError:
            return False

    async def ask(self, request: ReadPage) -> Reply:
        stdin = self._process.stdin
        assert stdin is not None
        try:
            async with asyncio.timeout(request.limit_s + _GRACE_S):
                stdin.write(encode(request))
                await stdin.drain()
                return await self._receive()
        except TimeoutError:
            raise _late(request) from None
        except (asyncio.IncompleteReadError, ConnectionError):
            status = await self._process.wait()
            if status == -signal.SIGALRM:
                raise _late(request) from None
            message = f"the page reader ended with status {status} on `{request.name}`"
            raise FlowError(Reason.EXECUTOR_FAILED, message) from None

    async def kill(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()

    async def _receive(self) -> Reply:
        stdout = self._process.stdout
        assert stdout is not None
        length = int.from_bytes(await stdout.readexactly(LENGTH_BYTES), "big")
        if length > MAX_MESSAGE_BYTES:
            raise FlowError(Reason.OUTPUT_INVALID, f"a page reader answered {length:,} bytes")
        return decode_reply(await stdout.readexactly(length))


def _late(request: ReadPage) -> FlowError:
    limit = f"{request.limit_s:.1f} s"
    message = f"`{request.name}` was not read within {limit}; raise the step's `timeout`, or send a smaller page"
    return FlowError(Reason.STEP_TIMEOUT, message)
