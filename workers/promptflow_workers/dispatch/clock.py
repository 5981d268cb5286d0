"""Redis time without asking Redis."""

from __future__ import annotations

import time
from collections.abc import Callable

Seconds = Callable[[], float]


class RedisClock:
    """Follows the server's clock by what it said last, and by a monotonic clock since then."""

    def __init__(self, monotonic: Seconds = time.monotonic, wall: Seconds = time.time) -> None:
        self._monotonic = monotonic
        # Until Redis was heard this machine's clock must do.
        self._offset_s = wall() - monotonic()

    def observe(self, now_ms: int, sent_at: float) -> None:
        """Redis said `now_ms` in answer to something sent at `sent_at`, monotonic seconds."""
        self._offset_s = now_ms / 1000 - (sent_at + self._monotonic()) / 2

    def now_ms(self) -> int:
        """Redis time in Unix milliseconds."""
        return int((self._monotonic() + self._offset_s) * 1000)
