"""Going on after Redis was away."""

from __future__ import annotations

from random import Random

import pytest

from promptflow_core.errors import FlowError, Reason
from promptflow_server.engine.outages import outlast


class Flaky:
    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)

    async def __call__(self) -> str:
        if self.errors:
            raise self.errors.pop(0)
        return "answer"


class Counted(Random):
    """Counts what is drawn, a draw for each wait."""

    draws = 0

    def random(self) -> float:
        self.draws += 1
        return super().random()


async def test_an_outage_is_outlasted_with_a_random_wait_after_each_failure() -> None:
    away, rng = FlowError(Reason.STORE_UNAVAILABLE, "away"), Counted(1)
    assert await outlast(Flaky(away, away, away), rng=rng) == "answer"
    assert rng.draws == 3


async def test_any_other_failure_is_raised_at_once() -> None:
    flaky = Flaky(FlowError(Reason.INTERNAL, "refused"))
    with pytest.raises(FlowError, match="refused"):
        await outlast(flaky)
    assert not flaky.errors
