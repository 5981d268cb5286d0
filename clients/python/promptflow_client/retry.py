"""How long a call is tried, and how long between two tries."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random

from promptflow_client.errors import DeadlineExceededError, PromptFlowError


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When to try again and when to give up; all in seconds.

    `patience_s` bounds a row of failures without one new message between them. Delays grow from `initial_s` to
    `max_s` with jitter; a delay that the server asks for is kept. A stream that is silent for `silence_s`, heartbeats
    included, counts as cut. `call_s` is the deadline of calls that answer at once, where the caller sets none.
    """

    patience_s: float = 30.0
    initial_s: float = 0.1
    max_s: float = 5.0
    multiplier: float = 2.0
    silence_s: float = 60.0
    call_s: float = 60.0


def backoff_s(attempt: int, policy: RetryPolicy, rng: Random) -> float:
    """Delay before retry `attempt` (1 = first): uniform in the upper half of the capped exponential.

    Never near zero: a server that greets and hangs up must not be called in a tight loop.
    """
    # The exponent is capped so that a large attempt cannot overflow a float.
    ceiling = min(policy.max_s, policy.initial_s * policy.multiplier ** min(attempt - 1, 64))
    return ceiling * rng.uniform(0.5, 1.0)


class Clock:
    """The time that calls are measured by, and the chance in their delays."""

    def __init__(
        self,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        rng: Random | None = None,
    ) -> None:
        self.now = now
        self.sleep = sleep
        self.rng = rng or Random()


class Attempts:
    """The tries of one call or one stream, up to a deadline and within the policy's patience."""

    def __init__(self, policy: RetryPolicy, clock: Clock, timeout_s: float | None = None) -> None:
        self._policy = policy
        self._clock = clock
        self._ends_at = None if timeout_s is None else clock.now() + timeout_s
        self._failing_since: float | None = None
        self._failures = 0

    @property
    def remaining_s(self) -> float | None:
        """Time up to the deadline, never below zero; None without one."""
        return None if self._ends_at is None else max(0.0, self._ends_at - self._clock.now())

    def progressed(self) -> None:
        """Something new came: patience and delays begin afresh."""
        self._failing_since = None
        self._failures = 0

    async def wait(self, error: PromptFlowError) -> None:
        """Sleep until the next try after `error`.

        Raises:
            PromptFlowError: `error` itself, when patience is over; DeadlineExceededError, when the deadline is.
        """
        now = self._clock.now()
        if self._failing_since is None:
            self._failing_since = now
        self._failures += 1
        asked_s = error.retry_after.total_seconds() if error.retry_after is not None else 0.0
        delay_s = max(asked_s, backoff_s(self._failures, self._policy, self._clock.rng))
        if now + delay_s - self._failing_since > self._policy.patience_s:
            raise error
        remaining_s = self.remaining_s
        if remaining_s is not None:
            if asked_s >= remaining_s:
                raise self.overdue(error) from error
            delay_s = min(delay_s, remaining_s)
        await self._clock.sleep(delay_s)
        if self.remaining_s == 0:
            raise self.overdue(error) from error

    def overdue(self, error: PromptFlowError) -> DeadlineExceededError:
        """What to raise when the deadline leaves no time for another try after `error`."""
        is_own = isinstance(error, DeadlineExceededError) and not error.reason
        last = "" if is_own else f"; the last failure was {error}"
        return DeadlineExceededError(f"the time given is over{last}", metadata=error.metadata)
