"""Defaults of what is absent in a value, at any depth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from promptflow_core.coercion import coerce
from promptflow_core.types import FieldType, Kind, ListType, MapType, ObjectType, ScalarType, ValueType
from promptflow_core.values import NativeValue


def with_defaults(values: Mapping[str, NativeValue], declared: ObjectType) -> Mapping[str, NativeValue]:
    """The values of an object, with defaults for the fields that are absent in it and in all objects inside.

    An absent object stays absent, whatever defaults lie in it; an empty list or map is an absent one, as in messages.

    Raises:
        CoercionError: a default does not fit its type.
    """
    filled = dict(values)
    for field in declared.fields:
        if not _is_absent(values, field):
            filled[field.name] = defaults_inside(values[field.name], field.type)
        elif field.default is not None:
            filled[field.name] = default_of(field)
    return filled


def default_of(field: FieldType) -> NativeValue:
    """What a field is where it is absent; its `default` is not None.

    Raises:
        CoercionError: as `with_defaults`.
    """
    return defaults_inside(coerce(field.default, field.type, field.name), field.type)


def defaults_inside(value: NativeValue, value_type: ValueType) -> NativeValue:
    """A value that is there, with defaults in the objects that are part of it.

    Raises:
        CoercionError: as `with_defaults`.
    """
    match value_type:
        case ObjectType() if isinstance(value, Mapping):
            return with_defaults(value, value_type)  # pyright: ignore[reportUnknownArgumentType]
        case ListType(element=ObjectType() | ListType() | MapType() as element) if isinstance(value, list):
            items: list[Any] = value  # pyright: ignore[reportUnknownVariableType]
            return [defaults_inside(item, element) for item in items]
        case MapType(value=ObjectType() | ListType() | MapType() as inner) if isinstance(value, Mapping):
            entries: Mapping[str, Any] = value  # pyright: ignore[reportUnknownVariableType]
            return {key: defaults_inside(item, inner) for key, item in entries.items()}
        case _:
            return value


def _is_absent(values: Mapping[str, NativeValue], field: FieldType) -> bool:
    value = values.get(field.name)
    if value is None:  # null is a value of `json` alone
        return field.name not in values or field.type != ScalarType(Kind.JSON)
    return isinstance(field.type, ListType | MapType) and value in ([], {})
