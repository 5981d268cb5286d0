"""What filters, tests and methods cost, in the unit of the budget: the work of one character that is made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from promptflow_codegen.template_filters import words

PER_VALUE, PER_ITERATION = 8, 40
"""Work of one value that is made or looked at, and of one turn of a loop."""


@dataclass(frozen=True, slots=True)
class Rate:
    """What an operation costs by the size of what it reads; a value's own content does not count."""

    characters_per_unit: int
    per_value: int

    def of(self, value: Any) -> int:
        """The cost of reading a value."""
        match value:
            case str() | bytes():
                return len(value) // self.characters_per_unit
            case list() | tuple() | range() | dict():
                return len(value) * self.per_value  # pyright: ignore[reportUnknownArgumentType]
            case _:
                return 0


SKIMMING = Rate(16, 1)
_SCANNING = Rate(2, 2)


@dataclass(frozen=True, slots=True)
class _EachValue(Rate):
    """Every character is a value, too."""

    def of(self, value: Any) -> int:
        return len(value) * PER_VALUE if isinstance(value, str | bytes) else Rate.of(self, value)


_FREE = words("abs count d default first float int last length round")
_SCANS = words("sentences string title tojson urlencode wordcount wordwrap")
_TAKES_EACH = words(
    "batch dictsort groupby join list map max min reject rejectattr reverse select selectattr slice sort sum unique "
    "with_field"
)
COMPARING = words("!= < <= == > >= eq equalto ge greaterthan gt in le lessthan lower lt ne upper")
"""Tests that look into their operands."""


def rate_of(filter_name: str) -> Rate | None:
    """What a filter costs; None: nothing."""
    if filter_name in _FREE:
        return None
    if filter_name in _SCANS:
        return _SCANNING
    return _EachValue(1, PER_VALUE) if filter_name in _TAKES_EACH else SKIMMING
