"""Lines of a page joined to a text, a blank line between paragraphs.

Tesseract's own paragraphs begin in mid-sentence where a page lies askew; the distance of lines is the better witness.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

_PARAGRAPH_GAP = 1.45
"""Distance to the line before, in units of the usual one, from which on a paragraph begins."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line in reading order, in pixels; `is_first` where Tesseract begins a paragraph with it."""

    text: str
    left: int
    right: int
    baseline: int
    is_first: bool


def join_lines(lines: Sequence[Line]) -> str:
    """The text of a page."""
    pairs = list(pairwise(lines))
    inside = [line.baseline - before.baseline for before, line in pairs if not line.is_first]
    usual = median([gap for gap in inside if gap > 0] or [0])
    parts = [lines[0].text] if lines else []
    for before, line in pairs:
        parts += ["\n", line.text] if _continues(before, line, usual) else ["\n\n", line.text]
    return "".join(parts)


def _continues(before: Line, line: Line, usual: float) -> bool:
    gap = line.baseline - before.baseline
    is_below = line.left < before.right and before.left < line.right
    return is_below and 0 < gap < _PARAGRAPH_GAP * usual
