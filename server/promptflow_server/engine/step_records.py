"""The records of a run's steps and items: values of which each turn makes the next without a copy of the one before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, TypeVar, overload

from promptflow_core.records import StepRecord

_T = TypeVar("_T")

_GROWTH: Final = 4
"""How much larger a layer is than the one above it, at least: so there are few of them, and a record is copied as
often as there are layers."""


class StepRecords(Mapping[str, StepRecord]):
    """Records by path, in the order in which they were first written; never changes.

    They lie in layers, the newest on top; whoever makes the next value adds a layer, and merges it with those below
    that are not much larger.
    """

    __slots__ = ("_size", "layers")

    def __init__(self, layers: tuple[Mapping[str, StepRecord], ...] = (), size: int = 0) -> None:
        self.layers = layers
        self._size = size

    @classmethod
    def of(cls, records: Mapping[str, StepRecord]) -> StepRecords:
        """The records of any mapping."""
        if isinstance(records, StepRecords):
            return records
        return cls((dict(records),), len(records)) if records else cls()

    def __getitem__(self, path: str) -> StepRecord:
        for layer in reversed(self.layers):
            found = layer.get(path)
            if found is not None:
                return found
        raise KeyError(path)

    @overload
    def get(self, path: str, default: None = None, /) -> StepRecord | None: ...
    @overload
    def get(self, path: str, default: StepRecord, /) -> StepRecord: ...
    @overload
    def get(self, path: str, default: _T, /) -> StepRecord | _T: ...
    def get(self, path: str, default: _T | None = None, /) -> StepRecord | _T | None:
        """The record at a path."""
        for layer in reversed(self.layers):
            found = layer.get(path)
            if found is not None:
                return found
        return default

    def __contains__(self, path: object) -> bool:
        return any(path in layer for layer in self.layers)

    def __iter__(self) -> Iterator[str]:
        return iter({path: None for layer in self.layers for path in layer})

    def __len__(self) -> int:
        return self._size

    def with_written(self, written: Mapping[str, StepRecord]) -> StepRecords:
        """These records with others written over them."""
        if not written:
            return self
        size = self._size + sum(path not in self for path in written)
        layers = [*self.layers, dict(written)]
        while len(layers) > 1 and len(layers[-2]) < _GROWTH * len(layers[-1]):
            top = layers.pop()
            layers[-1] = {**layers[-1], **top}
        return StepRecords(tuple(layers), size)


class StepWrites(Mapping[str, StepRecord]):
    """Records, and what a turn has written over them so far."""

    __slots__ = ("_added", "_before", "_written")

    def __init__(self, before: StepRecords) -> None:
        self._before = before
        self._written: dict[str, StepRecord] = {}
        self._added = 0

    @property
    def written(self) -> tuple[StepRecord, ...]:
        """What the turn has written, each record once."""
        return tuple(self._written.values())

    def write(self, record: StepRecord) -> None:
        """Write a record over the one at its path."""
        if record.path not in self._written and record.path not in self._before:
            self._added += 1
        self._written[record.path] = record

    def finished(self) -> StepRecords:
        """The records after the turn."""
        return self._before.with_written(self._written)

    def __getitem__(self, path: str) -> StepRecord:
        found = self._written.get(path)
        return found if found is not None else self._before[path]

    @overload
    def get(self, path: str, default: None = None, /) -> StepRecord | None: ...
    @overload
    def get(self, path: str, default: StepRecord, /) -> StepRecord: ...
    @overload
    def get(self, path: str, default: _T, /) -> StepRecord | _T: ...
    def get(self, path: str, default: _T | None = None, /) -> StepRecord | _T | None:
        """The record at a path."""
        found = self._written.get(path)
        return found if found is not None else self._before.get(path, default)

    def __contains__(self, path: object) -> bool:
        return path in self._written or path in self._before

    def __iter__(self) -> Iterator[str]:
        yield from self._before
        yield from (path for path in self._written if path not in self._before)

    def __len__(self) -> int:
        return len(self._before) + self._added
