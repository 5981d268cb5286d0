"""Kinds of types that operators and filters tell apart."""

from __future__ import annotations

from promptflow_core.types import SCALARS, EnumType, Kind, ListType, MapType, ObjectType, ScalarType, ValueType

NUMBERS = frozenset({Kind.INTEGER, Kind.INT32, Kind.NUMBER})


def is_number(value_type: ValueType | None) -> bool:
    """Whether every value is a number."""
    return isinstance(value_type, ScalarType) and value_type.scalar in NUMBERS


def is_text(value_type: ValueType | None) -> bool:
    """Whether every value is a text."""
    return isinstance(value_type, EnumType) or value_type == SCALARS["string"]


def is_boolean(value_type: ValueType | None) -> bool:
    """Whether every value is true or false."""
    return value_type == SCALARS["boolean"]


def is_collection(value_type: ValueType | None) -> bool:
    """Whether every value holds others."""
    return isinstance(value_type, ListType | MapType | ObjectType)


def merged(left: ValueType | None, right: ValueType | None) -> ValueType | None:
    """What holds for a value that is one or the other; None where that is not one type."""
    if left == right:
        return left
    if is_number(left) and is_number(right):
        return SCALARS["number"] if SCALARS["number"] in (left, right) else SCALARS["integer"]
    if is_text(left) and is_text(right):
        return SCALARS["string"]
    if isinstance(left, ListType) and isinstance(right, ListType):
        inner = merged(left.element, right.element)
        return None if inner is None else ListType(inner)
    return None


def is_printable(value_type: ValueType) -> bool:
    """Whether a text can show the value; of any other it would show what Python calls it."""
    return not is_collection(value_type) and value_type not in (SCALARS["bytes"], SCALARS["file"])


def in_text_hint(value_type: ValueType) -> str:
    """How a value that no text can show is put into one."""
    match value_type:
        case ListType(element=element) if is_printable(element):
            return "`| join(', ')` or `| tojson` makes a text of it"
        case ScalarType(scalar=Kind.FILE):
            return "`.name` or `.file_id` names it"
        case ScalarType(scalar=Kind.TIMESTAMP | Kind.DURATION):
            return "`| string` makes a text of it"
        case ScalarType():
            return "send it as `bytes`, or let a step read the text in it"
        case _:
            return "name what you want of it, or `| tojson`"
