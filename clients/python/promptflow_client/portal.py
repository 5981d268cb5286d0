"""An event loop in a thread of its own, and the way into it for code without asyncio."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import threading
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterator
from contextlib import suppress
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

T = TypeVar("T")

_JOIN_S = 5.0
"""How long a close waits for its thread, which a file that blocks while it is read can hold up."""


class ClosedError(RuntimeError):
    """The client is closed, or was closed during the call."""


class _Loop:
    """The running loop; its thread knows this and not the portal, so that a portal that is forgotten can go."""

    def __init__(self, on_stop: Callable[[], Awaitable[None]]) -> None:
        self.process = os.getpid()
        self._on_stop = on_stop
        self._started = threading.Event()
        self.thread = threading.Thread(target=lambda: asyncio.run(self._main()), name="promptflow", daemon=True)
        self.thread.start()
        self._started.wait()

    async def _main(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._stopped = asyncio.Event()
        self._started.set()
        await self._stopped.wait()
        await self._on_stop()

    def stop(self) -> None:
        """End every call and the thread; a second time, and in a forked process, it does nothing."""
        if self.process != os.getpid() or not self.thread.is_alive():
            return
        try:
            self.loop.call_soon_threadsafe(self._stopped.set)
        except RuntimeError:
            return
        if self.thread is not threading.current_thread():
            self.thread.join(_JOIN_S)


class Portal:
    """Runs coroutines for any number of threads at once; starts its thread with the first of them.

    `on_stop` runs last in the loop: at `close`, when the portal is forgotten, or when the program ends.
    """

    def __init__(self, on_stop: Callable[[], Awaitable[None]]) -> None:
        self._on_stop = on_stop
        self._lock = threading.Lock()
        self._loop: _Loop | None = None
        self._is_closed = False

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine and give what it gives; an interrupt (Ctrl-C) cancels it.

        Raises:
            RuntimeError: the client is closed, or was used before this process was forked.
        """
        future = self._submit(coroutine)
        try:
            return future.result()
        except concurrent.futures.CancelledError:
            raise ClosedError("this client was closed during the call") from None
        except BaseException:
            future.cancel()
            raise

    def close(self) -> None:
        """End every call and the thread; a second time does nothing."""
        with self._lock:
            self._is_closed = True
            loop, self._loop = self._loop, None
        if loop is not None:
            loop.stop()

    def _submit(self, coroutine: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        # Under the lock: what is submitted before a close is ended by it, and nothing is submitted after.
        with self._lock:
            try:
                return asyncio.run_coroutine_threadsafe(coroutine, self._running())
            except BaseException:
                coroutine.close()
                raise

    def _running(self) -> asyncio.AbstractEventLoop:
        if self._is_closed:
            raise ClosedError("this client is closed; open another one")
        if self._loop is None:
            self._loop = _Loop(self._on_stop)
            weakref.finalize(self, self._loop.stop)
        if self._loop.process != os.getpid():
            # Of the loop's thread only the memory was copied: a call would wait for ever.
            raise RuntimeError("this client was used before this process was forked; open another one here")
        if self._loop.thread is threading.current_thread():
            raise RuntimeError("a function that the client calls, such as `metadata`, cannot wait for the client")
        return self._loop.loop


class Stream(Generic[T], Iterator[T]):
    """What an asynchronous generator gives, for a `for` loop; any thread may read on or close it.

    Leave it early inside a `with` statement, or `close` it: then the call ends at once.
    """

    def __init__(self, portal: Portal, generator: AsyncGenerator[T, None]) -> None:
        self._portal = portal
        self._generator = generator
        self._turn = asyncio.Lock()
        self._reader: asyncio.Task[Any] | None = None
        self._is_closed = False

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        if self._is_closed:
            raise StopIteration
        found = self._portal.call(self._read())
        if not found:
            raise StopIteration
        return found[0]

    def close(self) -> None:
        """End the call; a thread that waits for the next value comes to the end of its loop."""
        if not self._is_closed:
            self._is_closed = True
            with suppress(ClosedError):
                self._portal.call(self._end())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    async def _read(self) -> tuple[T, ...]:
        async with self._turn:
            self._reader = asyncio.current_task()
            try:
                return (await anext(self._generator),)
            except StopAsyncIteration:
                return ()
            except asyncio.CancelledError:
                if self._is_closed:
                    return ()
                raise
            finally:
                self._reader = None

    async def _end(self) -> None:
        if self._reader is not None:
            self._reader.cancel()
        async with self._turn:
            await self._generator.aclose()
