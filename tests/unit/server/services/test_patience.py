from __future__ import annotations

from typing import Any

import pytest

from promptflow_server.services.patience import patience_s


class Call:
    """What is asked of a call's context here."""

    def __init__(self, remaining_s: float | None) -> None:
        self._remaining_s = remaining_s

    def time_remaining(self) -> float | None:
        return self._remaining_s


@pytest.mark.parametrize(("remaining_s", "expected"), [(None, None), (0.0, 0.0), (1.0, 0.9), (3.0, 2.7), (60.0, 59.7)])
def test_an_answer_has_a_share_of_the_deadline_to_reach_its_caller(
    remaining_s: float | None, expected: float | None
) -> None:
    call: Any = Call(remaining_s)
    assert patience_s(call) == (None if expected is None else pytest.approx(expected))
