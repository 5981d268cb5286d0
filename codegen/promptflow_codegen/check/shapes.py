"""Types that messages can carry; what types of executors and of YAML could say beyond that is refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from promptflow_codegen.naming import RESERVED_ENUM_VALUES, ZERO_VALUE, enum_folded, folded
from promptflow_core.type_syntax import ENUM_VALUE, FIELD_NAME, MAX_DEPTH
from promptflow_core.types import EnumType, FieldType, ListType, MapType, ObjectType, ValueType

MAX_FIELDS = 500
"""Fields of one object, values of one enum."""


def misshapen(value_type: ValueType, path: str = "", depth: int = 0) -> Iterator[str]:
    """What no message can carry, one sentence each."""
    where = f"`{path}`" if path else "it"
    if depth > MAX_DEPTH:
        yield f"{where} nests more than {MAX_DEPTH} levels deep"
        return
    match value_type:
        case ObjectType():
            yield from _misshapen_object(value_type, path, depth)
        case ListType(element=inner) | MapType(value=inner):
            if isinstance(inner, ListType | MapType):
                yield f"{where} is a list or map of lists or maps; put an object with one field between them"
            else:
                yield from misshapen(inner, path, depth + 1)
        case EnumType(values=values):
            yield from _misshapen_enum(values, where)
        case _:
            pass


def _misshapen_object(value_type: ObjectType, path: str, depth: int) -> Iterator[str]:
    if len(value_type.fields) > MAX_FIELDS:
        yield f"`{path}` has more than {MAX_FIELDS} fields" if path else f"it has more than {MAX_FIELDS} fields"
        return
    seen: dict[str, str] = {}
    for field in value_type.fields:
        inner = f"{path}.{field.name}" if path else field.name
        if not FIELD_NAME.fullmatch(field.name):
            yield f"`{inner}` is not a name: lower_snake_case with a letter after each `_`"
        twin = seen.setdefault(folded(field.name), field.name)
        if twin != field.name:
            yield f"`{inner}` collides with `{twin}`"
        yield from misshapen(field.type, inner, depth + 1)


def _misshapen_enum(values: tuple[str, ...], where: str) -> Iterator[str]:
    if len(values) > MAX_FIELDS:
        yield f"{where} has more than {MAX_FIELDS} enum values"
        return
    seen = {enum_folded(ZERO_VALUE): ZERO_VALUE}
    for value in values:
        if not ENUM_VALUE.fullmatch(value) or value in RESERVED_ENUM_VALUES or value == "Value":
            yield f"{where} has the enum value `{value[:60]}`, which no message can carry"
            continue
        twin = seen.setdefault(enum_folded(value), value)
        if twin != value or value == ZERO_VALUE:
            yield f"{where} has the enum value `{value}`, which collides with `{twin}`"
    by_case = {value.casefold(): value for value in reversed(values)}
    for value in values:
        if by_case[value.casefold()] != value:
            yield f"{where} has the enum value `{value}`, which collides with `{by_case[value.casefold()]}`"


def normalised(value_type: ValueType) -> ValueType:
    """The same type with bounds as floats and lengths as integers, however the file spells them.

    A plan that is stored and read again is then the same plan.
    """
    match value_type:
        case ObjectType():
            return normalised_object(value_type)
        case ListType(element=inner):
            return ListType(normalised(inner))
        case MapType(value=inner):
            return MapType(normalised(inner))
        case _:
            return value_type


def normalised_object(value_type: ObjectType) -> ObjectType:
    """An object with every field normalised."""
    return replace(value_type, fields=tuple(map(_normalised_field, value_type.fields)))


def _normalised_field(field: FieldType) -> FieldType:
    limits = field.constraints
    return replace(
        field,
        type=normalised(field.type),
        constraints=replace(
            limits,
            min=None if limits.min is None else float(limits.min),
            max=None if limits.max is None else float(limits.max),
            min_length=None if limits.min_length is None else int(limits.min_length),
            max_length=None if limits.max_length is None else int(limits.max_length),
            max_bytes=None if limits.max_bytes is None else int(limits.max_bytes),
            item_min_length=None if limits.item_min_length is None else int(limits.item_min_length),
            item_max_length=None if limits.item_max_length is None else int(limits.item_max_length),
            pattern=None if limits.pattern is None else str(limits.pattern),
        ),
    )
