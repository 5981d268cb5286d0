"""Value types as TypeScript: interfaces and unions of one module, named as the messages that they stand for.

A type of a message in another flow's file is imported from that flow's module, under a name that says whose it is.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorSet

from promptflow_codegen.descriptors import messages_of
from promptflow_codegen.emit.client_model import Direction, bounds, free_name
from promptflow_codegen.naming import camel
from promptflow_core.types import EnumType, FieldType, Kind, ListType, MapType, ObjectType, ScalarType, ValueType

WIDTH = 120
_RESERVED_PROPERTIES = frozenset({"constructor", "toString", "toJSON", "valueOf"})
"""Properties that every object has; protobuf-es ends their names in `$`."""

_IN = {
    Kind.STRING: "string",
    Kind.INTEGER: "bigint | number",
    Kind.INT32: "number",
    Kind.NUMBER: "number",
    Kind.BOOLEAN: "boolean",
    Kind.BYTES: "Uint8Array",
    Kind.FILE: "FileSource",
    Kind.TIMESTAMP: "Date",
    Kind.DURATION: "Duration | number",
    Kind.JSON: "JsonValue",
}
_OUT = {**_IN, Kind.INTEGER: "bigint", Kind.FILE: "FlowFile", Kind.TIMESTAMP: "Timestamp", Kind.DURATION: "Duration"}
_IMPORTED = ("Duration", "FileSource", "FlowFile", "JsonValue", "Timestamp")
_TIMES = {Kind.DURATION: "a number is milliseconds"}


class Messages:
    """All messages of a descriptor set, by full name without a leading dot."""

    def __init__(self, files: FileDescriptorSet) -> None:
        self._messages: dict[str, DescriptorProto] = {}
        self._packages: dict[str, str] = {}
        for file in files.file:
            for name, message in messages_of(file):
                self._messages[name], self._packages[name] = message, file.package

    def field(self, message: str, name: str) -> FieldDescriptorProto:
        """A field of a message.

        Raises:
            KeyError: message or field is not there.
        """
        for found in self._messages[message].field:
            if found.name == name:
                return found
        raise KeyError(f"{message}.{name}")

    def type_of(self, message: str, name: str) -> str:
        """The message that a field holds, or whose enum it holds; for a map, that of its values."""
        found = self.field(message, name)
        full = found.type_name.removeprefix(".")
        entry = self._messages.get(full)
        if entry is not None and entry.options.map_entry:
            return self.type_of(full, "value")
        return full.removesuffix(".Value") if found.type == FieldDescriptorProto.TYPE_ENUM else full

    def package(self, message: str) -> str:
        """The proto package of the file that a message is in."""
        return self._packages[message]


@dataclass(slots=True)
class Declarations:
    """The types of one module, in the order in which they are first used, and what they need from elsewhere.

    `names` are taken from the start; `declared` and `foreign` map messages, and those whose enum is meant, to the names
    of their types: as this module declares them, and as it imports them from other flows' modules.
    """

    messages: Messages
    package: str
    names: set[str]
    lines: list[str] = field(default_factory=list[str])
    used: set[str] = field(default_factory=set[str])
    foreign: dict[str, str] = field(default_factory=dict[str, str])
    promised: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    declared: dict[str, str] = field(default_factory=dict[str, str])

    def name(self, wanted: str) -> str:
        """A type name that nothing else has."""
        return free_name(wanted, self.names)

    def message(self, full_name: str, shape: ObjectType, summary: str, direction: Direction) -> str:
        """The name of a message's type, which is declared first where it is not yet."""
        found = self.declared.get(full_name)
        if found is not None:
            return found
        if self.messages.package(full_name) != self.package:
            self.promise(full_name, shape)
            return self._import(full_name)
        name = self.declared[full_name] = self.name(self._wanted(full_name))
        fields = [line for one in shape.fields for line in self._field(one, full_name, direction)]
        self.interface(name, shape.description.strip() or summary, fields)
        if direction is Direction.OUT:
            self.promise(full_name, shape)
        return name

    def interface(self, name: str, summary: str, fields: Sequence[str]) -> None:
        """Declare an interface from the lines of its properties."""
        self.lines += ["", *comment([summary], 0)]
        if fields:
            self.lines += [f"export interface {name} {{", *fields, "}"]
        else:
            self.lines += [f"export type {name} = Readonly<Record<string, never>>;"]

    def promise(self, full_name: str, shape: ObjectType) -> None:
        """Remember what a message always has, and the messages in it."""
        if full_name in self.promised:
            return
        # Lists and maps are there without a promise.
        always = (one for one in shape.fields if one.required and not isinstance(one.type, ListType | MapType))
        self.promised[full_name] = [property_name(one.name) for one in always]
        for one in shape.fields:
            inner = _element(one.type)
            if isinstance(inner, ObjectType):
                self.promise(self.messages.type_of(full_name, one.name), inner)

    def _field(self, one: FieldType, parent: str, direction: Direction) -> Iterator[str]:
        kind = self.annotation(one.type, parent, one.name, direction)
        name = property_name(one.name)
        is_out = direction is Direction.OUT
        # What comes back holds lists and maps always, what goes in leaves out what it likes.
        is_there = one.required or (is_out and isinstance(one.type, ListType | MapType))
        yield from comment([" ".join(_about(one, direction))], 2)
        if is_there:
            yield f"  readonly {name}: {kind};"
        else:
            yield f"  readonly {name}?: {kind}{'' if is_out else ' | undefined'};"

    def annotation(self, value_type: ValueType, parent: str, name: str, direction: Direction) -> str:
        """The type of field `name` of message `parent`; types that it needs are declared first."""
        match value_type:
            case ScalarType(scalar=kind):
                text = (_IN if direction is Direction.IN else _OUT)[kind]
                self.used.update(word for word in text.split() if word in _IMPORTED)
                return text
            case ListType(element=element):
                inner = self.annotation(element, parent, name, direction)
                return f"readonly ({inner})[]" if "|" in inner else f"readonly {inner}[]"
            case MapType(value=value):
                return f"Readonly<Record<string, {self.annotation(value, parent, name, direction)}>>"
            case EnumType(values=values):
                return self._enum(self.messages.type_of(parent, name), values)
            case ObjectType():
                inner = self.messages.type_of(parent, name)
                owner = f"input `{name}`" if parent.endswith(".ExecuteRequest") else f"`{self._wanted(parent)}.{name}`"
                return self.message(inner, value_type, f"What {owner} holds.", direction)

    def _enum(self, full_name: str, values: Sequence[str]) -> str:
        found = self.declared.get(full_name)
        if found is None and self.messages.package(full_name) != self.package:
            return self._import(full_name)
        if found is None:
            found = self.declared[full_name] = self.name(self._wanted(full_name))
            self.lines += ["", *alternatives(f"export type {found} =", [json.dumps(value) for value in values])]
        return found

    def _import(self, full_name: str) -> str:
        if full_name not in self.foreign:
            package = self.messages.package(full_name)
            flow = "".join(camel(part) for part in package.split(".")[-2:])
            self.foreign[full_name] = self.name(f"{flow}{self._wanted(full_name)}")
        return self.foreign[full_name]

    def _wanted(self, full_name: str) -> str:
        path = full_name.removeprefix(f"{self.messages.package(full_name)}.").split(".")
        return "".join(["Inputs" if path[0] == "ExecuteRequest" else path[0], *path[1:]])


def property_name(name: str) -> str:
    """A name of the flow language as a property: what protobuf-es makes of it."""
    first, *rest = name.split("_")
    joined = first + "".join(part[:1].upper() + part[1:] for part in rest)
    return f"{joined}$" if joined in _RESERVED_PROPERTIES else joined


def _element(value_type: ValueType) -> ValueType:
    match value_type:
        case ListType(element=inner) | MapType(value=inner):
            return inner
        case _:
            return value_type


def _about(one: FieldType, direction: Direction) -> Iterator[str]:
    """What a caller should know of a field beyond its type."""
    if one.description.strip():
        yield _sentence(one.description)
    if direction is Direction.OUT:
        return
    if one.default is not None:
        yield _sentence(f"Default {json.dumps(one.default, ensure_ascii=False, default=str)}")
    for name, bound in bounds(one.constraints):
        yield _sentence(f"{name.capitalize().replace('_', ' ')}: {bound}")
    inner = _element(one.type)
    if isinstance(inner, ScalarType) and inner.scalar in _TIMES:
        yield _sentence(_TIMES[inner.scalar].capitalize())


def _sentence(text: str) -> str:
    text = " ".join(text.split())
    return text if text.endswith((".", "!", "?")) else f"{text}."


def alternatives(before: str, items: Sequence[str]) -> list[str]:
    """A union on one line where it fits, else one alternative a line."""
    line = f"{before} {' | '.join(items)};"
    if len(line) <= WIDTH:
        return [line]
    *most, last = (f"  | {item}" for item in items)
    return [before, *most, f"{last};"]


def braced(before: str, items: Iterable[str], after: str) -> list[str]:
    """Braces on one line where they fit, else one item a line."""
    items = list(items)
    line = f"{before}{{ {', '.join(items)} }}{after}"
    if len(line) <= WIDTH:
        return [line]
    return [f"{before}{{", *(f"  {item}," for item in items), f"}}{after}"]


def comment(paragraphs: Sequence[str], indent: int) -> list[str]:
    """Paragraphs as a doc comment; nothing for no text."""
    margin = " " * indent
    texts: list[str] = []
    for paragraph in paragraphs:
        words = "".join(map(_escaped, " ".join(paragraph.split()))).replace("*/", "*\\/")
        if words:
            wrapped = textwrap.wrap(words, WIDTH - 3 - indent, break_long_words=False, break_on_hyphens=False)
            texts += ["", *wrapped] if texts else wrapped
    if not texts:
        return []
    if len(texts) == 1 and len(texts[0]) <= WIDTH - 7 - indent:
        return [f"{margin}/** {texts[0]} */"]
    return [f"{margin}/**", *(f"{margin} * {text}".rstrip() for text in texts), f"{margin} */"]


def _escaped(character: str) -> str:
    return character if character.isprintable() else f"\\u{{{ord(character):x}}}"


def promised_lines(promised: Mapping[str, Sequence[str]]) -> list[str]:
    """The table of what messages always have, as a constant."""
    lines: list[str] = []
    for name, always in promised.items():
        if always:
            lines += [f"  {line}" for line in _listed(f"{json.dumps(name)}: ", [json.dumps(one) for one in always])]
    return ["const promised: Promised = {", *lines, "};"] if lines else ["const promised: Promised = {};"]


def _listed(before: str, items: Sequence[str]) -> list[str]:
    line = f"{before}[{', '.join(items)}],"
    return [line] if len(line) <= WIDTH - 2 else [f"{before}[", *(f"  {item}," for item in items), "],"]
