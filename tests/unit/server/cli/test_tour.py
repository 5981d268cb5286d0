from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from promptflow_server.cli.tour import LETTER, find_problems

ROOT = Path(__file__).parents[4]
PAGE = (ROOT / LETTER).with_suffix(".txt").read_text()

Result = dict[str, Any]


def right_result() -> Result:
    return {
        "text": PAGE,
        "mean_confidence": 0.95,
        "mood": "mixed",
        "sentences": [
            {"text": "The desk is wonderful: the wood is beautiful.", "label": "positive", "confidence": 0.99},
            {"text": "The chair, I am sorry to say, is a disaster.", "label": "negative", "confidence": 0.99},
        ],
    }


def test_what_the_page_says_is_right() -> None:
    assert find_problems(right_result(), PAGE) == []


def relabel(index: int, label: str) -> Callable[[Result], None]:
    return lambda result: result["sentences"][index].update(label=label)


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda result: result.update(mood="positive"), "the mood is positive, not mixed"),
        (lambda result: result.update(mean_confidence=0.8), "the mean confidence is 0.8, not above 0.8"),
        (lambda result: result.pop("mean_confidence"), "the mean confidence is None, not above 0.8"),
        (relabel(0, "negative"), "the sentence with 'desk is wonderful' is negative, not positive"),
        (relabel(1, "positive"), "the sentence with 'is a disaster' is positive, not negative"),
        (lambda result: result["sentences"].pop(1), "the sentence with 'is a disaster' is not there, not negative"),
        (lambda result: result.update(text=PAGE[: len(PAGE) // 2]), "of its words are those of the page"),
    ],
)
def test_each_deviation_is_named(spoil: Callable[[Result], None], problem: str) -> None:
    result = right_result()
    spoil(result)
    (found,) = find_problems(result, PAGE)
    assert problem in found


def test_an_empty_result_is_wrong_in_every_way() -> None:
    assert len(find_problems({}, PAGE)) == 5
