"""Numbers that never move: what a flow's fields and enum values are on the wire, over all its versions of one major.

A name keeps its number. What is removed keeps both, reserved, and gets them back when it returns. A number that was
ever used is never used for anything else. `numbering` gives the numbers, `compat` says which changes are refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class LockedField:
    """What a field was when it was generated last; `type` has the label in it.

    `is_required`: an input that must be sent, or a field that is in every result. `has_default`: of an input.
    """

    number: int
    type: str
    is_required: bool = False
    constraints: Mapping[str, Any] = field(default_factory=dict[str, Any])
    has_default: bool = False


@dataclass(frozen=True, slots=True)
class LockedMessage:
    """Fields of one message. `reserved` may return by name, numbers in `retired` belong to nothing any more."""

    fields: Mapping[str, LockedField] = field(default_factory=dict[str, LockedField])
    reserved: Mapping[str, LockedField] = field(default_factory=dict[str, LockedField])
    retired: tuple[int, ...] = ()

    @property
    def numbers(self) -> frozenset[int]:
        """Every number that was ever used."""
        used = (locked.number for locked in (*self.fields.values(), *self.reserved.values()))
        return frozenset((*used, *self.retired))


@dataclass(frozen=True, slots=True)
class LockedEnum:
    """Values of one enum, and what is no longer one, as in a message."""

    values: Mapping[str, int] = field(default_factory=dict[str, int])
    reserved: Mapping[str, int] = field(default_factory=dict[str, int])
    retired: tuple[int, ...] = ()

    @property
    def numbers(self) -> frozenset[int]:
        """Every number that was ever used."""
        return frozenset((*self.values.values(), *self.reserved.values(), *self.retired))


@dataclass(frozen=True, slots=True)
class Lock:
    """All numbers of one major version of a flow; messages by their name in the file, `ExecuteRequest.Language`.

    What the flow no longer has stays: it may return.
    """

    flow: str
    version: int
    messages: Mapping[str, LockedMessage] = field(default_factory=dict[str, LockedMessage])
    enums: Mapping[str, LockedEnum] = field(default_factory=dict[str, LockedEnum])
