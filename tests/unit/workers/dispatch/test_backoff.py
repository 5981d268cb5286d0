"""Waits before another try."""

from __future__ import annotations

from random import Random

import pytest

from promptflow_workers.dispatch.backoff import Backoff


@pytest.mark.parametrize(("failures", "ceiling_s"), [(1, 0.02), (2, 0.04), (6, 0.64), (7, 1.0), (10_000, 1.0)], ids=str)
def test_waits_double_up_to_a_limit_and_no_two_processes_wait_alike(failures: int, ceiling_s: float) -> None:
    delays = {Backoff(0.02, 1.0).delay_s(failures, Random(seed)) for seed in range(100)}
    assert len(delays) > 90
    assert ceiling_s / 2 <= min(delays) < 0.6 * ceiling_s
    assert 0.9 * ceiling_s < max(delays) <= ceiling_s
