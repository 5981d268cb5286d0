"""Value types as Go: types, and the structs and constants that they name.

A name says where its type stands, and nothing else decides it: no edit of a flow renames what it leaves as it was. So
what is in a type, or one of its values, comes after `_`, which no other part of a name holds. Text is as gofmt formats
it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from promptflow_codegen.emit.client_model import bound_phrases, free_name
from promptflow_codegen.naming import camel
from promptflow_core.types import EnumType, FieldType, Kind, ListType, MapType, ObjectType, ScalarType, ValueType

WIDTH = 116
TAG = "promptflow"
ROOTS = ("Input", "Result")
"""Before the fields of inputs and of the result, with nothing between."""

_SCALARS = {
    Kind.STRING: "string",
    Kind.INTEGER: "int64",
    Kind.INT32: "int32",
    Kind.NUMBER: "float64",
    Kind.BOOLEAN: "bool",
    Kind.BYTES: "[]byte",
    Kind.FILE: "*promptflow.File",
    Kind.TIMESTAMP: "time.Time",
    Kind.DURATION: "time.Duration",
    Kind.JSON: "any",
}
_NILABLE = frozenset({Kind.BYTES, Kind.FILE, Kind.JSON})
_MAY_BEGIN_A_LINE = re.compile(r"[^\W\d_]")


@dataclass(frozen=True, slots=True)
class StructField:
    """One field of a struct; `wire` is the message's field that it stands for."""

    name: str
    type: str
    wire: str
    about: tuple[str, ...] = ()


@dataclass(slots=True)
class Declarations:
    """The types of one package, in the order in which they need each other, and the names they use."""

    names: set[str]
    lines: list[str] = field(default_factory=list[str])
    uses_time: bool = False
    _nested: dict[tuple[str, ObjectType | EnumType], str] = field(
        default_factory=dict[tuple[str, ObjectType | EnumType], str]
    )

    def name(self, wanted: str) -> str:
        """A name of the package that nothing else has."""
        return free_name(wanted, self.names)

    def type(self, value_type: ValueType, parent: str, name: str) -> str:
        """The type of field `name` of struct `parent`; types that it needs are declared first."""
        match value_type:
            case ScalarType(scalar=kind):
                self.uses_time = self.uses_time or kind in (Kind.TIMESTAMP, Kind.DURATION)
                return _SCALARS[kind]
            case ListType(element=element):
                return f"[]{self.type(element, parent, name)}"
            case MapType(value=value):
                return f"map[string]{self.type(value, parent, name)}"
            case EnumType() | ObjectType():
                between = "" if parent in ROOTS else "_"
                wanted = parent + between + (getattr(value_type, "name", "") or camel(name))
                if (wanted, value_type) not in self._nested:
                    self._declare(value_type, parent, name, wanted)
                return self._nested[wanted, value_type]

    def fields(self, fields: Sequence[FieldType], parent: str) -> list[StructField]:
        """The fields of struct `parent`."""
        return [self._field(one, parent) for one in fields]

    def struct(self, name: str, about: str, fields: Sequence[StructField]) -> None:
        """Declare a struct."""
        self.add([*comment(about, name), *struct_lines(name, fields)])

    def add(self, lines: Sequence[str]) -> None:
        """Declare what `lines` say, a line apart from what is there."""
        if self.lines:
            self.lines.append("")
        self.lines += lines

    def _field(self, one: FieldType, parent: str) -> StructField:
        name = camel(one.name)
        go_type = self.type(one.type, parent, one.name)
        if not one.required and _needs_pointer(one.type):
            go_type = f"*{go_type}"
        return StructField(name, go_type, one.name, tuple(field_comment(one, name)))

    def _declare(self, value_type: ObjectType | EnumType, parent: str, field: str, wanted: str) -> None:
        name = self._nested[wanted, value_type] = self.name(wanted)
        owner = f"input {field}" if parent == "Input" else f"{parent}.{camel(field)}"
        if isinstance(value_type, EnumType):
            self._declare_enum(value_type, name, owner)
            return
        fields = self.fields(value_type.fields, name)
        self.struct(name, value_type.description or f"{name} is what {owner} holds.", fields)

    def _declare_enum(self, value_type: EnumType, name: str, owner: str) -> None:
        self.add([*comment(f'{name} is a value of {owner}; "" is none.', name), f"type {name} string"])
        rows = [(_constant(name, value), name, f"= {quoted(value)}") for value in value_type.values]
        self.add([f"// What a {name} can be.", "const (", *(f"\t{row}" for row in aligned(rows)), ")"])


def output_name(wanted: str, taken: frozenset[str]) -> str:
    """What the output `wanted` of a step is called, apart from what every package has and from types of fields."""
    return f"{wanted}_" if wanted in taken or wanted.startswith(ROOTS) else wanted


def _constant(enum: str, value: str) -> str:
    # As it is written: values that differ in their case alone are refused, all else makes two names.
    return f"{enum}_{value[0].upper()}{value[1:]}"


def _needs_pointer(value_type: ValueType) -> bool:
    """Whether the type has no value of its own that says "absent"."""
    match value_type:
        case ScalarType(scalar=kind):
            return kind not in _NILABLE
        case ObjectType():
            return True
        case _:
            return False


def struct_lines(name: str, fields: Sequence[StructField]) -> Iterator[str]:
    """A struct, its columns as gofmt aligns them: over neighbouring lines without a comment between."""
    if not fields:
        yield f"type {name} struct{{}}"
        return
    yield f"type {name} struct {{"
    block: list[tuple[str, str, str]] = []
    for one in fields:
        if one.about:
            yield from (f"\t{row}" for row in aligned(block))
            block = []
            yield from (f"\t{line}" for line in one.about)
        block.append((one.name, one.type, f'`{TAG}:"{one.wire}"`'))
    yield from (f"\t{row}" for row in aligned(block))
    yield "}"


def aligned(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """Rows with their columns below each other."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)][:-1]
    for row in rows:
        yield " ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]])


def field_comment(one: FieldType, name: str) -> Iterator[str]:
    """What stands above a field: its description, default and bounds."""
    said = [one.description.strip()] if one.description.strip() else []
    if one.default is not None:
        said.append(f"Default: {one.default!r}.")
    said += [f"Bounds: {', '.join(bounds)}."] if (bounds := list(bound_phrases(one.constraints))) else []
    text = " ".join(part if part.endswith((".", "!", "?")) else f"{part}." for part in said)
    yield from comment(text, name)
    if one.deprecated:
        yield from ["//"] if text else []
        yield "// Deprecated: the flow keeps it for the callers that it has."


def comment(text: str, name: str) -> list[str]:
    """Text as a comment that gofmt leaves as it is: no line of it reads as a list, a heading or an order to a tool."""
    words = [_visible(word) for word in text.split()]
    if not words:
        return []
    if not _MAY_BEGIN_A_LINE.match(words[0]):
        words.insert(0, f"{name}:")
    lines = [words[0]]
    for word in words[1:]:
        if len(lines[-1]) + 1 + len(word) > WIDTH and _MAY_BEGIN_A_LINE.match(word):
            lines.append(word)
        else:
            lines[-1] += f" {word}"
    return [f"// {line}" for line in lines]


def quoted(text: str) -> str:
    """A Go string literal; for names, which are ASCII."""
    return f'"{text}"'


def _visible(word: str) -> str:
    return "".join(map(_visible_character, word))


def _visible_character(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode("ascii")


def package_clause(about: Iterable[str], package: str) -> list[str]:
    """The head of a generated file."""
    marker = "// Code generated by promptflow generate from the flow file. DO NOT EDIT."
    return [marker, "", *about, f"package {package}"]
