"""Value types as Python: annotations, and the dataclasses and aliases that they name.

Text is as ruff formats it, but for lines that one name alone makes too wide.
"""

from __future__ import annotations

import keyword
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from promptflow_codegen.emit.client_model import Direction, free_name
from promptflow_codegen.naming import camel
from promptflow_core.types import EnumType, FieldType, Kind, ListType, MapType, ObjectType, ScalarType, ValueType

WIDTH = 120
RESERVED = frozenset(
    {
        *keyword.kwlist,
        # A field of such a name would hide the type from the annotations below it.
        *("bool", "bytes", "datetime", "dict", "field", "float", "int", "str", "timedelta", "tuple"),
    }
)
"""Names that take a trailing underscore in Python; no flow can have a name that ends in one."""


_SCALARS = {
    Kind.STRING: "str",
    Kind.INTEGER: "int",
    Kind.INT32: "int",
    Kind.NUMBER: "float",
    Kind.BOOLEAN: "bool",
    Kind.BYTES: "bytes",
    Kind.TIMESTAMP: "datetime",
    Kind.DURATION: "timedelta",
    Kind.JSON: "Json",
}


def identifier(name: str, taken: Iterable[str] = ()) -> str:
    """A name of the flow language as Python writes it."""
    return f"{name}_" if name in RESERVED or name in taken else name


@dataclass(slots=True)
class Declarations:
    """The classes and aliases of one module, in the order in which they need each other, and the names they use."""

    names: set[str]
    lines: list[str] = field(default_factory=list[str])
    used: set[str] = field(default_factory=set[str])
    _nested: dict[tuple[str, ObjectType | EnumType], str] = field(
        default_factory=dict[tuple[str, ObjectType | EnumType], str]
    )

    def name(self, wanted: str) -> str:
        """A class name that nothing else has."""
        return free_name(wanted, self.names)

    def annotation(self, value_type: ValueType, parent: str, name: str, direction: Direction) -> str:
        """The annotation of field `name` of class `parent`; classes that it needs are declared first."""
        match value_type:
            case ScalarType(scalar=Kind.FILE):
                return self._use("FileSource" if direction is Direction.IN else "File")
            case ScalarType(scalar=kind):
                return self._use(_SCALARS[kind])
            case ListType(element=element):
                inner = self.annotation(element, parent, name, direction)
                return f"{self._use('Sequence')}[{inner}]" if direction is Direction.IN else f"tuple[{inner}, ...]"
            case MapType(value=value):
                return f"{self._use('Mapping')}[str, {self.annotation(value, parent, name, direction)}]"
            case EnumType() | ObjectType():
                wanted = getattr(value_type, "name", "") or camel(name)
                if (parent + wanted, value_type) not in self._nested:
                    self._declare(value_type, parent, name, direction, wanted=parent + wanted)
                return self._nested[parent + wanted, value_type]

    def dataclass(self, name: str, summary: str, fields: Sequence[str]) -> None:
        """Declare a class from the lines of its fields."""
        self._use("dataclass")
        lines = ["@dataclass(frozen=True, slots=True, kw_only=True)", f"class {name}:", *docstring([summary], 4)]
        if fields:
            lines += ["", *fields]
        self._add(lines)

    def fields(self, fields: Sequence[FieldType], parent: str, direction: Direction) -> list[str]:
        """The lines of the fields of class `parent`."""
        return [line for one in fields for line in self._field(one, parent, direction)]

    def _field(self, one: FieldType, parent: str, direction: Direction) -> list[str]:
        annotation = self.annotation(one.type, parent, one.name, direction)
        name, about = identifier(one.name), docstring([one.description], 4) if one.description.strip() else []
        if direction is Direction.OUT and isinstance(one.type, ListType):
            return [f"    {name}: {annotation} = ()", *about]
        if direction is Direction.OUT and isinstance(one.type, MapType):
            factory = f"default_factory={annotation.replace('Mapping', 'dict', 1)}"
            return [*wrapped(f"    {name}: {annotation} = {self._use('field')}(", factory, ")"), *about]
        return [f"    {name}: {annotation if one.required else optional(annotation) + ' = None'}", *about]

    def _declare(
        self, value_type: ObjectType | EnumType, parent: str, field: str, direction: Direction, *, wanted: str
    ) -> None:
        name = self._nested[wanted, value_type] = self.name(wanted)
        if isinstance(value_type, EnumType):
            self._use("Literal")
            values = [quoted(value) for value in value_type.values]
            self._add(bracketed(f"{name}: {self._use('TypeAlias')} = Literal[", values, "]"))
        else:
            owner = f"input `{field}`" if parent == "Input" else f"`{parent}.{field}`"
            fields = self.fields(value_type.fields, name, direction)
            self.dataclass(name, value_type.description.strip() or f"What {owner} holds.", fields)

    def _use(self, name: str) -> str:
        self.used.add(name)
        return name

    def _add(self, lines: Sequence[str]) -> None:
        if self.lines:
            self.lines += ["", ""]
        self.lines += lines


def optional(annotation: str) -> str:
    """The annotation with None; `Json` has it already."""
    return annotation if annotation == "Json" else f"{annotation} | None"


def quoted(text: str) -> str:
    """A Python literal in double quotes."""
    return '"' + "".join(_escaped(character, '"') for character in text) + '"'


def bracketed(before: str, items: Sequence[str], after: str) -> list[str]:
    """A bracket on one line where it fits, else one item a line."""
    line = f"{before}{', '.join(items)}{after}"
    if len(line) <= WIDTH:
        return [line]
    indent = " " * (len(before) - len(before.lstrip()))
    return [before, *(f"{indent}    {item}," for item in items), f"{indent}{after}"]


def wrapped(before: str, item: str, after: str) -> list[str]:
    """A bracket around one thing: on one line where it fits, else on three."""
    line = f"{before}{item}{after}"
    if len(line) <= WIDTH:
        return [line]
    indent = " " * (len(before) - len(before.lstrip()))
    return [before, f"{indent}    {item}", f"{indent}{after}"]


def alternatives(before: str, items: Sequence[str]) -> list[str]:
    """A union on one line where it fits, else one alternative a line."""
    line = f"{before}{' | '.join(items)}"
    if len(line) <= WIDTH:
        return [line]
    return [f"{before}(", f"    {items[0]}", *(f"    | {item}" for item in items[1:]), ")"]


def docstring(paragraphs: Sequence[str], indent: int) -> list[str]:
    """Paragraphs as a docstring; one that begins with `- ` is a list item, right below what comes before."""
    margin = " " * indent
    texts: list[str] = []
    for paragraph in paragraphs:
        is_item = paragraph.startswith("- ")
        text = " ".join(paragraph.removeprefix("- ").split())
        if not text.isprintable() or "\\" in text:
            text = "".join(_escaped(character, "") for character in text)
        text = text.replace('"""', '\\"\\"\\"')
        if texts and not is_item:
            texts.append("")
        lead, hanging = ("    ", "        ") if is_item else ("", "")
        width = WIDTH - 4 - indent
        texts += textwrap.wrap(text, width, initial_indent=lead, subsequent_indent=hanging, break_long_words=False)
    if texts and texts[-1].endswith('"'):
        texts[-1] = texts[-1][:-1] + '\\"'
    if len(texts) == 1:
        return [f'{margin}"""{texts[0]}"""']
    first, *rest = texts or ["."]
    return [f'{margin}"""{first}', *(f"{margin}{text}" if text else "" for text in rest), f'{margin}"""']


def _escaped(character: str, quote: str) -> str:
    if character == "\\" or (quote and character == quote):
        return "\\" + character
    return character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
