"""The time that all processes agree on."""

from __future__ import annotations

import time
from collections.abc import Callable


class RedisClock:
    """Redis time in Unix ms, counted by this process between two answers; never goes back.

    Before the first answer it is this machine's time.
    """

    def __init__(
        self, monotonic: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time
    ) -> None:
        self._monotonic = monotonic
        self._offset_ms = wall() * 1000 - monotonic() * 1000
        self._latest_ms = 0

    def observe(self, redis_ms: int) -> None:
        """Take the time that came with an answer."""
        self._offset_ms = redis_ms - self._monotonic() * 1000

    def now_ms(self) -> int:
        """The time now."""
        self._latest_ms = max(self._latest_ms, int(self._monotonic() * 1000 + self._offset_ms))
        return self._latest_ms
