"""The API of a flow as proto3 has it: what `build` makes, `lock` numbers and `emit.proto` prints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from promptflow_codegen.diagnostics import Position


class Promise(StrEnum):
    """How far a message may change within a major version."""

    FIXED = "fixed"
    """The same in every flow; its numbers stand in `build`."""

    INPUT = "input"
    """What callers send: what was valid stays valid."""

    RESULT = "result"
    """What callers rely on: nothing goes or changes its type."""

    VIEW = "view"
    """What watchers see: anything may change, under a new number."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field. `number` 0 is the lock's to give; a number given here is a wish, or final where `is_pinned`.

    `label` is "optional", "repeated" or ""; `constraints` and `is_required` are what the lock remembers of an input. A
    field of a result `is_required` where every completed run has it, and `may_be_absent` where some surely lack it; an
    input `is_missed` where a template reads it as if it were there although it may be absent.
    """

    name: str
    type: str
    label: str = ""
    number: int = 0
    is_pinned: bool = False
    options: tuple[str, ...] = ()
    doc: str = ""
    comment: str = ""
    oneof: str = ""
    is_required: bool = False
    may_be_absent: bool = False
    is_missed: bool = False
    has_default: bool = False
    constraints: Mapping[str, Any] = field(default_factory=dict[str, Any])
    position: Position = field(default=Position(), compare=False)

    @property
    def full_type(self) -> str:
        """Label and type as one text."""
        return f"{self.label} {self.type}".lstrip()


@dataclass(frozen=True, slots=True)
class EnumValue:
    """One value of an enum; `number` 0 is the lock's to give."""

    name: str
    number: int = 0


@dataclass(frozen=True, slots=True)
class Enum:
    """An enum; its zero value is none of `values`."""

    name: str
    values: tuple[EnumValue, ...]
    reserved_numbers: tuple[int, ...] = ()
    reserved_names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Message:
    """A message with what is nested in it."""

    name: str
    fields: tuple[Field, ...]
    messages: tuple[Message, ...] = ()
    enums: tuple[Enum, ...] = ()
    promise: Promise = Promise.FIXED
    doc: str = ""
    reserved_numbers: tuple[int, ...] = ()
    reserved_names: tuple[str, ...] = ()
    position: Position = field(default=Position(), compare=False)

    @property
    def size(self) -> int:
        """Fields and enum values, here and in what is nested."""
        values = sum(len(enum.values) for enum in self.enums)
        return len(self.fields) + values + sum(message.size for message in self.messages)


@dataclass(frozen=True, slots=True)
class Method:
    """One rpc and its REST path; `body` is "*" or ""."""

    name: str
    request: str
    response: str
    verb: str
    path: str
    body: str = ""
    is_streaming: bool = False


@dataclass(frozen=True, slots=True)
class Service:
    """The service of one flow."""

    name: str
    methods: tuple[Method, ...]
    doc: str = ""


@dataclass(frozen=True, slots=True)
class ProtoFile:
    """One generated file; `path` is relative to the proto root."""

    path: str
    package: str
    service: Service
    messages: tuple[Message, ...]

    @property
    def size(self) -> int:
        """Fields and enum values in all messages."""
        return sum(message.size for message in self.messages)
