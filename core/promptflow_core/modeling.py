"""Pydantic models as value types, and their instances as native values.

An executor's `Config` and `Output` are pydantic models; what they hold becomes fields of messages and schemas.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import Enum
from typing import Annotated, Any, Literal, NewType

from pydantic import BaseModel, JsonValue
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from promptflow_core.types import (
    EnumType,
    FieldType,
    Kind,
    ListType,
    MapType,
    ObjectType,
    ScalarType,
    ValueType,
)
from promptflow_core.values import FileRef, NativeValue

Int32 = NewType("Int32", int)
"""An integer of 32 bits: a number in JSON and TypeScript, where `int` is a string and a bigint."""

_SCALARS: Mapping[Any, Kind] = {
    str: Kind.STRING,
    int: Kind.INTEGER,
    Int32: Kind.INT32,
    float: Kind.NUMBER,
    bool: Kind.BOOLEAN,
    bytes: Kind.BYTES,
    FileRef: Kind.FILE,
    datetime: Kind.TIMESTAMP,
    timedelta: Kind.DURATION,
    Any: Kind.JSON,
}


def object_type_of(model: type[BaseModel]) -> ObjectType:
    """The fields of a model, in their order, with the types that a message gives them.

    Raises:
        TypeError: an annotation has no counterpart in the flow language.
    """
    fields = tuple(_field_of(name, info) for name, info in model.model_fields.items())
    return ObjectType(fields, name=model.__name__, description=_summary(model))


def to_native(value: Any) -> NativeValue:
    """A model instance (or anything made of models, enums and native values) as a native value.

    Fields that are None are left out: absence and None are one thing in the flow language.
    """
    match value:
        case BaseModel():
            named = {name: getattr(value, name) for name in type(value).model_fields}
            return {name: to_native(item) for name, item in named.items() if item is not None}
        case Enum():
            return value.value
        case Mapping():
            return {str(key): to_native(item) for key, item in value.items()}  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
        case list() | tuple():
            return [to_native(item) for item in value]  # pyright: ignore[reportUnknownVariableType]
        case _:
            return value


def _field_of(name: str, info: FieldInfo) -> FieldType:
    try:
        value_type = _type_of(info.annotation)
    except TypeError as error:
        raise TypeError(f"field {name!r}: {error}") from None
    default = None if info.default is PydanticUndefined else to_native(info.default)
    return FieldType(name, value_type, required=info.is_required(), default=default, description=info.description or "")


def _type_of(annotation: Any) -> ValueType:
    if annotation is JsonValue:
        return ScalarType(Kind.JSON)
    if annotation in _SCALARS:
        return ScalarType(_SCALARS[annotation])
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        return _type_of(arguments[0])
    if origin in (typing.Union, types.UnionType):
        return _type_of_optional(annotation, arguments)
    if origin is Literal:
        return EnumType(tuple(str(argument) for argument in arguments))
    if origin in (list, tuple):
        return ListType(_type_of(arguments[0]))
    if origin in (dict, Mapping) and arguments[0] is str:
        return MapType(_type_of(arguments[1]))
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return EnumType(tuple(str(member.value) for member in annotation))
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return object_type_of(annotation)
    raise TypeError(f"{annotation!r} has no type in the flow language")


def _type_of_optional(annotation: Any, arguments: tuple[Any, ...]) -> ValueType:
    present = [argument for argument in arguments if argument is not type(None)]
    if len(present) != 1:
        raise TypeError(f"{annotation!r}: a union of several types has no type in the flow language")
    return _type_of(present[0])


def _summary(model: type[BaseModel]) -> str:
    return (model.__doc__ or "").strip().split("\n")[0]
