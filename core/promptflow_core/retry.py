"""When a failed step is tried again."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """`max_attempts` counts the first; only retryable errors are retried."""

    max_attempts: int = 3
    initial_ms: int = 200
    max_ms: int = 30_000
    multiplier: float = 2.0


def backoff_ms(attempt: int, policy: RetryPolicy, rng: Random) -> int:
    """Delay before retry `attempt` (1 = first): uniform in [0, capped exponential].

    `rng` is a parameter so that a replayed execution draws the same delays.

    Raises:
        ValueError: `attempt` < 1.
    Source: Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015.
    """
    if attempt < 1:
        raise ValueError(f"attempt {attempt} is not counted from 1")
    # The exponent is capped so that a large attempt cannot overflow a float.
    ceiling = min(policy.max_ms, policy.initial_ms * policy.multiplier ** min(attempt - 1, 64))
    return rng.randint(0, int(ceiling))
