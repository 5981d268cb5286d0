"""The first Ctrl-C asks, the second insists."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import Any

# The terminal that closes says SIGHUP.
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


async def run_until_signalled(
    work: Coroutine[Any, Any, None], *, asked: Callable[[], None], insisted: Callable[[], None]
) -> bool:
    """Run `work` to its end; the first signal cancels it after `asked()`, each later one calls `insisted()`.

    Answers whether a signal ended it.
    """
    loop = asyncio.get_running_loop()
    task = loop.create_task(work)
    was_asked = False

    def on_signal() -> None:
        nonlocal was_asked
        if was_asked:
            insisted()
            return
        was_asked = True
        asked()
        task.cancel()

    for number in _SIGNALS:
        loop.add_signal_handler(number, on_signal)
    try:
        await task
    except asyncio.CancelledError:
        if not was_asked:
            task.cancel()
            raise
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
    return was_asked
