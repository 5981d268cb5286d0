"""The value types of the flow language: what an input, an output or a field may hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field as Discriminated


class Kind(StrEnum):
    """Scalar kinds, spelled as in YAML."""

    STRING = "string"
    INTEGER = "integer"
    INT32 = "int32"
    NUMBER = "number"
    BOOLEAN = "boolean"
    BYTES = "bytes"
    FILE = "file"
    TIMESTAMP = "timestamp"
    DURATION = "duration"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class ScalarType:
    """One value of a scalar kind."""

    scalar: Kind
    tag: Literal["scalar"] = "scalar"


@dataclass(frozen=True, slots=True)
class EnumType:
    """One of `values`, spelled as in YAML."""

    values: tuple[str, ...]
    tag: Literal["enum"] = "enum"


@dataclass(frozen=True, slots=True)
class ListType:
    """Any number of `element`, in order."""

    element: ValueType
    tag: Literal["list"] = "list"


@dataclass(frozen=True, slots=True)
class MapType:
    """String keys to `value`."""

    value: ValueType
    tag: Literal["map"] = "map"


@dataclass(frozen=True, slots=True)
class ObjectType:
    """Named fields; `name` is the message name it asks for, "" takes it from the place of use."""

    fields: tuple[FieldType, ...]
    name: str = ""
    description: str = ""
    tag: Literal["object"] = "object"

    def field(self, name: str) -> FieldType | None:
        """The field called `name`, if there is one."""
        return next((candidate for candidate in self.fields if candidate.name == name), None)


ValueType = Annotated[ScalarType | EnumType | ListType | MapType | ObjectType, Discriminated(discriminator="tag")]


@dataclass(frozen=True, slots=True)
class Constraints:
    """Bounds on a value; None sets no bound. Lengths count characters, bytes or items.

    In a list or map, lengths count its items and `item_…` the characters or bytes of each; all else is about each item.
    `accept` are media types such as `image/png` or `image/*`.
    """

    min: float | None = None
    max: float | None = None
    min_length: int | None = None
    max_length: int | None = None
    pattern: str | None = None
    values: tuple[str, ...] | None = None
    max_bytes: int | None = None
    accept: tuple[str, ...] | None = None
    item_min_length: int | None = None
    item_max_length: int | None = None


@dataclass(frozen=True, slots=True)
class FieldType:
    """A named, typed field; `default` applies to absence alone. What is `deprecated` works, and callers are told."""

    name: str
    type: ValueType
    required: bool = False
    default: Any = None
    description: str = ""
    constraints: Constraints = field(default_factory=Constraints)
    deprecated: bool = False


def spelling(value_type: ValueType) -> str:
    """The type as a flow file spells it, for messages to people."""
    match value_type:
        case ScalarType(scalar=kind):
            return str(kind)
        case EnumType():
            return "enum"
        case ListType(element=element):
            return f"{spelling(element)}[]"
        case MapType(value=value):
            return f"map<{spelling(value)}>"
        case ObjectType():
            return "object"


def object_in(value_type: ValueType) -> ObjectType | None:
    """The object that a type is, or that its lists and maps hold."""
    match value_type:
        case ObjectType():
            return value_type
        case ListType(element=inner) | MapType(value=inner):
            return object_in(inner)
        case _:
            return None


def scalar(kind: Kind) -> ScalarType:
    """Shorthand for a scalar type."""
    return ScalarType(kind)


SCALARS: Mapping[str, ScalarType] = {str(kind): ScalarType(kind) for kind in Kind}
