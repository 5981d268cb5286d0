"""How long to wait before something that failed is tried again."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, slots=True)
class Backoff:
    """Waits that double from `first_s` up to `max_s`."""

    first_s: float
    max_s: float

    def delay_s(self, failures: int, rng: Random) -> float:
        """Before the try that follows `failures` (at least 1) in a row: a random part of the wait, but half at least.

        The lower half is kept, unlike in `promptflow_core.retry`: a server that comes back is not asked in a busy loop.
        """
        # The exponent is capped so that many failures cannot overflow a float.
        ceiling_s = min(self.max_s, self.first_s * 2.0 ** min(failures - 1, 64))
        return ceiling_s * rng.uniform(0.5, 1.0)


REDIS_AWAY = Backoff(first_s=0.02, max_s=1.0)
