"""Typed fields as fields of a message, with the messages that have to be nested in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from promptflow_codegen.diagnostics import Position
from promptflow_codegen.model import Enum, EnumValue, Field, Message, Promise
from promptflow_codegen.naming import camel
from promptflow_codegen.proto_types import PROTO_TYPES
from promptflow_codegen.rules import DEPRECATED, given_limits, validation_options
from promptflow_core.types import EnumType, FieldType, ListType, MapType, ObjectType, ScalarType, ValueType


def build_message(
    name: str,
    fields: Sequence[FieldType],
    promise: Promise,
    position: Position,
    places: Mapping[str, Position] | None = None,
    *,
    is_described: bool = True,
) -> Message:
    """A message of `fields`, in their order; inputs carry their constraints. `places`: where a field is declared.

    What an executor describes is left out: a word that its author changes would be a change of every flow.
    """
    nested = _Nested(promise)
    built: list[Field] = []
    for field in fields:
        place = (places or {}).get(field.name, position)
        label, proto_type = nested.type_of(field, place)
        is_input = promise is Promise.INPUT
        built.append(
            Field(
                field.name,
                proto_type,
                label,
                options=(
                    *(validation_options(field) if is_input else ()),
                    *((DEPRECATED,) if field.deprecated else ()),
                ),
                doc=field.description if is_described else "",
                is_required=field.required if is_input else is_always_there(field),
                may_be_absent=not is_input and is_sometimes_absent(field),
                is_missed=is_input and is_sometimes_absent(field),
                has_default=is_input and field.default is not None,
                constraints=given_limits(field.constraints) if is_input else {},
                position=place,
            )
        )
    return Message(name, tuple(built), tuple(nested.messages.values()), promise=promise, position=position)


def is_always_there(field: FieldType) -> bool:
    """Whether an answer that has the message has this field of it. Lists and maps have no presence."""
    return not isinstance(field.type, ListType | MapType) and (field.required or field.default is not None)


def is_sometimes_absent(field: FieldType) -> bool:
    """Whether an answer may lack the field."""
    return not isinstance(field.type, ListType | MapType) and not field.required and field.default is None


class _Nested:
    """The messages nested in one message, by name."""

    def __init__(self, promise: Promise) -> None:
        self.messages: dict[str, Message] = {}
        self._shapes: dict[str, ValueType] = {}
        self._promise = promise

    def type_of(self, field: FieldType, position: Position) -> tuple[str, str]:
        """Label and type of a field."""
        match field.type:
            case ListType(element=element):
                return "repeated", self._single(element, field.name, position)
            case MapType(value=value):
                return "", f"map<string, {self._single(value, field.name, position)}>"
            case ScalarType() | EnumType():
                proto_type = self._single(field.type, field.name, position)
                # Messages have presence without the word.
                return "" if proto_type.startswith(".") else "optional", proto_type
            case ObjectType():
                return "", self._single(field.type, field.name, position)

    def _single(self, value_type: ValueType, field: str, position: Position) -> str:
        match value_type:
            case ScalarType(scalar=kind):
                return PROTO_TYPES[kind]
            case EnumType(values=values):
                name = self._claim(camel(field), value_type)
                enum = Enum("Value", tuple(EnumValue(value) for value in values))
                self.messages[name] = Message(name, (), enums=(enum,), promise=self._promise, position=position)
                return f"{name}.Value"
            case ObjectType(fields=fields):
                name = self._claim(value_type.name or camel(field), value_type)
                is_described = not value_type.name
                self.messages[name] = build_message(name, fields, self._promise, position, is_described=is_described)
                return name
            case ListType() | MapType():
                raise TypeError("lists and maps do not nest; `check.shapes` refuses them")

    def _claim(self, name: str, value_type: ValueType) -> str:
        """`name`, or where another type has it, a longer one."""
        while self._shapes.setdefault(name, value_type) != value_type:
            name += "Value"
        return name
