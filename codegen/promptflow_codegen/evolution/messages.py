"""Requests and results as messages: what of a field, a type or an enum value is not as it was.

Two kinds of callers look at them: those that read bytes go by number and wire type, those that read JSON by name and
by how a value is spelled.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorSet,
)

from promptflow_codegen.descriptors import messages_of
from promptflow_codegen.evolution.change import Change, Finder
from promptflow_codegen.naming import RESERVED_INPUTS
from promptflow_codegen.proto_types import kind_of

_SAME_BYTES = (
    frozenset({"integer", "int32"}),
    frozenset({"timestamp", "duration"}),
)
"""Types of which each reads the other's bytes, but not the other's JSON."""


@dataclass(frozen=True, slots=True)
class Messages:
    """Messages and enums of a descriptor set by full name, with the leading dot."""

    messages: Mapping[str, DescriptorProto]
    enums: Mapping[str, EnumDescriptorProto]

    @classmethod
    def of(cls, descriptors: bytes) -> Messages:
        """Those of a serialized FileDescriptorSet."""
        messages: dict[str, DescriptorProto] = {}
        enums: dict[str, EnumDescriptorProto] = {}
        for file in FileDescriptorSet.FromString(descriptors).file:
            prefix = f".{file.package}" if file.package else ""
            enums |= {f"{prefix}.{enum.name}": enum for enum in file.enum_type}
            for name, message in messages_of(file):
                messages[f".{name}"] = message
                enums |= {f".{name}.{enum.name}": enum for enum in message.enum_type}
        return cls(messages, enums)


@dataclass(frozen=True, slots=True)
class _Type:
    """How the flow language spells a field's type: `shape` is "", "[]" or "map<>"."""

    name: str
    shape: str
    reference: str = ""

    def __str__(self) -> str:
        return f"map<{self.name}>" if self.shape == "map<>" else f"{self.name}{self.shape}"


def message_changes(find: Finder, name: str, path: str, old: Messages, new: Messages) -> Iterator[Change]:
    """What became of the fields of one message that both sets have, and of what is nested in it."""
    yield from _Walk(find, old, new, is_input=path == "inputs").fields(name, path, frozenset())


@dataclass(frozen=True, slots=True)
class _Walk:
    find: Finder
    old: Messages
    new: Messages
    is_input: bool

    def fields(self, name: str, path: str, above: frozenset[str]) -> Iterator[Change]:
        if name in above:
            return
        before = {field.name: field for field in self.old.messages[name].field}
        after = {field.name: field for field in self.new.messages[name].field}
        pinned = RESERVED_INPUTS if self.is_input and not above else frozenset[str]()
        numbers = {field.number: field.name for field in after.values()}
        for field in before.values():
            inside = f"{path}.{field.name}"
            if field.name in pinned:
                continue
            if field.name in after:
                yield from self._field(field, after[field.name], inside, above | {name})
            else:
                yield from self._gone(field, numbers.get(field.number), after, inside)
        for field in after.values():
            if field.name not in before and field.name not in pinned:
                yield from self._added(field, f"{path}.{field.name}")

    def _gone(
        self, field: FieldDescriptorProto, heir: str | None, after: Mapping[str, FieldDescriptorProto], path: str
    ) -> Iterator[Change]:
        if heir is not None:
            is_same = _type_of(field, self.old) == _type_of(after[heir], self.new)
            message = f"number {field.number} was `{field.name}` and is now `{heir}`"
            yield (self.find.breaks_json if is_same else self.find.breaks_wire)(path, message)
        elif self.is_input:
            yield self.find.behaves(path, "is gone: requests that have it stay valid, nothing reads it")
        else:
            yield self.find.breaks_wire(path, "was removed")

    def _added(self, field: FieldDescriptorProto, path: str) -> Iterator[Change]:
        # A new input that is required is told from the plan, which knows.
        yield self.find.grows(path, f"is new, of type `{_type_of(field, self.new)}`")

    def _field(
        self, old: FieldDescriptorProto, new: FieldDescriptorProto, path: str, above: frozenset[str]
    ) -> Iterator[Change]:
        before, after = _type_of(old, self.old), _type_of(new, self.new)
        if before != after:
            yield self._retyped(before, after, path)
        elif old.number != new.number:
            yield self.find.breaks_wire(path, f"moved from number {old.number} to {new.number}")
        elif before.reference in self.old.enums:
            yield from self._enum(before.reference, path)
        elif before.name == "object":
            yield from self.fields(before.reference, path, above)

    def _retyped(self, before: _Type, after: _Type, path: str) -> Change:
        shown = (str(before), str(after))
        if shown[0] == shown[1]:
            message = f"is still `{shown[0]}`, but as another message than it was"
        else:
            message = f"was `{shown[0]}` and is now `{shown[1]}`"
        reads_both = before.shape == after.shape and any({before.name, after.name} <= same for same in _SAME_BYTES)
        return (self.find.breaks_json if reads_both else self.find.breaks_wire)(path, message)

    def _enum(self, name: str, path: str) -> Iterator[Change]:
        before = {value.name: value.number for value in self.old.enums[name].value}
        after = {value.name: value.number for value in self.new.enums[name].value}
        owners = {number: value for value, number in after.items()}
        for value, number in before.items():
            if value not in after and number in owners:
                yield self.find.breaks_json(path, f"its value `{value}` is now called `{owners[number]}`")
            elif value not in after:
                yield self.find.breaks_wire(path, f"no longer has the value `{value}`")
            elif after[value] != number:
                yield self.find.breaks_wire(path, f"its value `{value}` moved from number {number} to {after[value]}")
        for value, number in after.items():
            if value not in before and number not in before.values():
                yield self.find.grows(path, f"may be `{value}` too")


def _type_of(field: FieldDescriptorProto, messages: Messages) -> _Type:
    shape = "[]" if field.label == FieldDescriptorProto.LABEL_REPEATED else ""
    if field.type == FieldDescriptorProto.TYPE_ENUM:
        return _Type("enum", shape, field.type_name)
    kind = kind_of(field)
    if kind is not None:
        return _Type(str(kind), shape, field.type_name)
    message = messages.messages.get(field.type_name)
    if message is not None and message.options.map_entry:
        value = _type_of(message.field[1], messages)
        return _Type(value.name, "map<>", value.reference)
    return _Type("object", shape, field.type_name)
