"""Words that core and the hand-written protos both spell."""

from __future__ import annotations

import pytest

from promptflow_api.v1 import errors_pb2, execution_pb2
from promptflow_core.errors import MEANINGS, Reason
from promptflow_core.records import ExecutionStatus, StepStatus

PAIRS = [
    (Reason, errors_pb2.ErrorReason.Value),
    (ExecutionStatus, execution_pb2.ExecutionStatus.Value),
    (StepStatus, execution_pb2.StepStatus.Value),
]


@pytest.mark.parametrize(("words", "enum"), PAIRS)
def test_the_proto_has_the_words_of_core_in_their_order(words: type, enum: object) -> None:
    assert list(enum.keys())[1:] == [str(word) for word in words]  # type: ignore[attr-defined]


def test_every_reason_has_a_meaning() -> None:
    assert set(MEANINGS) == set(Reason)
