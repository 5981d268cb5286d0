"""Lines joined to paragraphs by their distance."""

from __future__ import annotations

import pytest

from promptflow_workers.models.ocr.layout import Line, join_lines


def lines(*rows: tuple[str, int, bool]) -> list[Line]:
    return [Line(text, 100, 500, baseline, is_first) for text, baseline, is_first in rows]


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ([], ""),
        (lines(("one", 10, True)), "one"),
        (lines(("one", 10, True), ("two", 50, False)), "one\ntwo"),
        # A paragraph of Tesseract in the middle of a sentence, at the usual distance.
        (lines(("one", 10, True), ("two", 50, False), ("three", 90, True)), "one\ntwo\nthree"),
        (lines(("one", 10, True), ("two", 50, False), ("three", 130, True)), "one\ntwo\n\nthree"),
        # A gap that Tesseract overlooked.
        (lines(("a", 10, True), ("b", 50, False), ("c", 90, False), ("d", 170, False)), "a\nb\nc\n\nd"),
        # Nothing tells the usual distance.
        (lines(("one", 10, True), ("two", 90, True)), "one\n\ntwo"),
        # The next column begins at the top.
        (lines(("a", 10, True), ("b", 50, False), ("c", 10, True), ("d", 50, False)), "a\nb\n\nc\nd"),
    ],
)
def test_the_distance_of_lines_makes_paragraphs(page: list[Line], expected: str) -> None:
    assert join_lines(page) == expected


def test_lines_side_by_side_are_no_paragraph() -> None:
    page = [Line("a", 0, 90, 10, True), Line("b", 0, 90, 50, False), Line("c", 400, 500, 90, True)]
    assert join_lines(page) == "a\nb\n\nc"
