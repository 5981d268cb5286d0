"""Back-off: bounded, growing, the same for the same seed."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptflow_core.retry import RetryPolicy, backoff_ms

POLICY = RetryPolicy(max_attempts=5, initial_ms=100, max_ms=1000, multiplier=2)


@given(st.integers(1, 10**9), st.integers())
def test_a_delay_never_passes_its_ceiling(attempt: int, seed: int) -> None:
    delay = backoff_ms(attempt, POLICY, Random(seed))
    assert 0 <= delay <= min(1000, 100 * 2 ** min(attempt - 1, 10))


def test_the_same_seed_draws_the_same_delays() -> None:
    draws = [[backoff_ms(attempt, POLICY, Random(7)) for attempt in range(1, 6)] for _ in range(2)]
    assert draws[0] == draws[1]


def test_later_delays_may_be_longer() -> None:
    assert max(backoff_ms(4, POLICY, Random(seed)) for seed in range(200)) > 500
    assert max(backoff_ms(1, POLICY, Random(seed)) for seed in range(200)) <= 100


def test_attempts_count_from_one() -> None:
    with pytest.raises(ValueError, match="counted from 1"):
        backoff_ms(0, POLICY, Random(1))
