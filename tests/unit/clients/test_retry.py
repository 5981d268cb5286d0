"""When a call is tried again and when it is given up, by a clock that the test moves."""

from __future__ import annotations

from datetime import timedelta
from random import Random

import pytest

from promptflow_client import DeadlineExceededError, RetryPolicy, UnavailableError
from promptflow_client.retry import Attempts, Clock, backoff_s

POLICY = RetryPolicy(patience_s=10, initial_s=1, max_s=4)


class Time:
    """A clock on which sleeping takes no time."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.slept: list[float] = []

    async def sleep(self, delay_s: float) -> None:
        self.slept.append(delay_s)
        self.now_s += delay_s

    def clock(self) -> Clock:
        return Clock(lambda: self.now_s, self.sleep, Random(7))


@pytest.mark.parametrize(("attempt", "low", "high"), [(1, 0.5, 1), (2, 1, 2), (3, 2, 4), (4, 2, 4), (10_000, 2, 4)])
def test_delays_grow_up_to_a_limit_and_are_never_near_zero(attempt: int, low: float, high: float) -> None:
    rng = Random(1)
    assert all(low <= backoff_s(attempt, POLICY, rng) <= high for _ in range(100))


async def fail_until_it_raises(attempts: Attempts, error: UnavailableError) -> None:
    for _ in range(1000):
        await attempts.wait(error)
    raise AssertionError("it never gives up")


async def test_patience_bounds_a_row_of_failures() -> None:
    time = Time()
    with pytest.raises(UnavailableError, match="away"):
        await fail_until_it_raises(Attempts(POLICY, time.clock()), UnavailableError("away"))
    assert 6 <= sum(time.slept) <= 10


async def test_progress_gives_new_patience_and_short_delays() -> None:
    time = Time()
    attempts = Attempts(POLICY, time.clock())
    for _ in range(20):
        await attempts.wait(UnavailableError("away"))
        attempts.progressed()
    assert max(time.slept) <= 1


async def test_a_delay_that_the_server_asks_for_is_kept() -> None:
    time = Time()
    await Attempts(POLICY, time.clock()).wait(UnavailableError("full", retry_after=timedelta(seconds=7)))
    assert time.slept == [7]


async def test_a_delay_beyond_patience_is_not_begun() -> None:
    time = Time()
    with pytest.raises(UnavailableError, match="full"):
        await Attempts(POLICY, time.clock()).wait(UnavailableError("full", retry_after=timedelta(seconds=11)))
    assert time.slept == []


async def test_the_deadline_comes_before_patience() -> None:
    time = Time()
    with pytest.raises(DeadlineExceededError, match="away"):
        await fail_until_it_raises(Attempts(POLICY, time.clock(), timeout_s=3), UnavailableError("away"))
    assert sum(time.slept) == pytest.approx(3)


async def test_a_delay_beyond_the_deadline_is_not_begun() -> None:
    time = Time()
    attempts = Attempts(POLICY, time.clock(), timeout_s=3)
    with pytest.raises(DeadlineExceededError):
        await attempts.wait(UnavailableError("full", retry_after=timedelta(seconds=5)))
    assert time.slept == []
