"""Types as YAML spells them: `string`, `integer[]`, `map<number>`, `object` with fields, `enum` with values."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from promptflow_core.types import (
    SCALARS,
    Constraints,
    EnumType,
    FieldType,
    ListType,
    MapType,
    ObjectType,
    ValueType,
)

MAX_DEPTH = 16
FIELD_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z][a-z0-9]*)*")
"""No digit right after `_`: `step_1` and `step1` would be one name in JSON."""

ENUM_VALUE = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
SPELLINGS = (*SCALARS, "enum", "object", "T[]", "map<T>")

_FIELD_KEYS = (
    "name",
    "type",
    "required",
    "default",
    "description",
    "fields",
    "values",
    "deprecated",
    "format",
    "items",
)
_CONSTRAINT_KEYS = ("min", "max", "min_length", "max_length", "pattern", "max_bytes", "accept")
FIELD_KEYS = (*_FIELD_KEYS, *_CONSTRAINT_KEYS)
ITEM_KEYS = (*_CONSTRAINT_KEYS, "values")
"""What `items` of a list or map may say about each item."""

_MEDIA_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*/([A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*|\*)")


class TypeSyntaxError(ValueError):
    """A type that cannot be read. `path` leads from the mapping that was given to the culprit."""

    def __init__(self, message: str, path: tuple[str | int, ...] = (), hint: str = "") -> None:
        super().__init__(message)
        self.path = path
        self.hint = hint

    def inside(self, *path: str | int) -> TypeSyntaxError:
        """The same error seen from further out."""
        return TypeSyntaxError(str(self), (*path, *self.path), self.hint)


def parse_type(text: object, *, fields: object = None, values: object = None, depth: int = 0) -> ValueType:
    """Read a type; `fields` belongs to the `object` in it, `values` to the `enum`.

    Raises:
        TypeSyntaxError: it is no type of the flow language.
    """
    if not isinstance(text, str):
        raise TypeSyntaxError(f"a type is a word, not {type(text).__name__}", ("type",))
    if depth > MAX_DEPTH:
        raise TypeSyntaxError(f"types nest at most {MAX_DEPTH} deep", ("type",))
    text = text.strip()
    if text.endswith("[]"):
        return ListType(_flat(parse_type(text[:-2], fields=fields, values=values, depth=depth + 1)))
    if text.startswith("map<") and text.endswith(">"):
        return MapType(_flat(parse_type(text[4:-1], fields=fields, values=values, depth=depth + 1)))
    if text == "object":
        return ObjectType(parse_fields(fields, depth=depth + 1))
    if text == "enum":
        return EnumType(_enum_values(values))
    if text in SCALARS:
        return SCALARS[text]
    raise TypeSyntaxError(f"unknown type `{text}`", ("type",), hint="types are " + ", ".join(SPELLINGS))


def parse_fields(document: object, *, depth: int = 0) -> tuple[FieldType, ...]:
    """Read a list of field mappings (`name`, `type`, ...); keys that are no part of a field are left to the caller.

    Raises:
        TypeSyntaxError: the list or one of its fields cannot be read.
    """
    if not isinstance(document, Sequence) or isinstance(document, str) or not document:
        raise TypeSyntaxError(
            "`fields` must list at least one field", ("fields",), hint="write `fields: [{name: …, type: …}]`"
        )
    fields: list[FieldType] = []
    seen: dict[str, str] = {}
    entries: Sequence[object] = document  # pyright: ignore[reportUnknownVariableType]
    for index, entry in enumerate(entries):
        try:
            field = parse_field(entry, depth=depth)
        except TypeSyntaxError as error:
            raise error.inside("fields", index) from None
        folded = field.name.replace("_", "").casefold()
        if folded in seen:
            raise TypeSyntaxError(
                f"`{field.name}` collides with `{seen[folded]}`",
                ("fields", index, "name"),
                hint="rename one of them",
            )
        seen[folded] = field.name
        fields.append(field)
    return tuple(fields)


def parse_field(entry: object, *, depth: int = 0) -> FieldType:
    """Read one field mapping.

    Raises:
        TypeSyntaxError: name, type, constraints or default cannot be read.
    """
    if not isinstance(entry, Mapping):
        raise TypeSyntaxError("a field is a mapping with `name` and `type`")
    field: Mapping[str, Any] = entry  # pyright: ignore[reportUnknownVariableType]
    name = field.get("name")
    if not isinstance(name, str) or not FIELD_NAME.fullmatch(name):
        raise TypeSyntaxError(
            f"`{name}` is not a name",
            ("name",),
            hint="names are lower_snake_case, and a letter follows each `_`",
        )
    items = _items(field)
    values = items.get("values") if field.get("values") is None else field["values"]
    value_type = parse_type(field.get("type", "string"), fields=field.get("fields"), values=values, depth=depth)
    value_type = _formatted(value_type, field.get("format"))
    return FieldType(
        name,
        value_type,
        required=_boolean(field, "required"),
        default=field.get("default"),
        description=str(field.get("description") or ""),
        constraints=_constraints(field, value_type),
        deprecated=_boolean(field, "deprecated"),
    )


def _flat(element: ValueType) -> ValueType:
    if isinstance(element, ListType | MapType):
        raise TypeSyntaxError(
            "lists and maps do not nest directly",
            ("type",),
            hint="wrap the inner one: `type: object[]` with one field",
        )
    return element


def _enum_values(values: object) -> tuple[str, ...]:
    if not isinstance(values, Sequence) or isinstance(values, str) or not values:
        raise TypeSyntaxError("an enum lists its `values`", ("values",), hint="write `values: [first, second]`")
    seen: dict[str, str] = {}
    for index, value in enumerate(values):  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        path = ("values", index)
        if not isinstance(value, str):
            raise TypeSyntaxError(f"enum value `{value}` is no text", path, hint=f'write `"{value}"`')
        if not ENUM_VALUE.fullmatch(value) or value in ("Value", "unspecified"):
            raise TypeSyntaxError(
                f"`{value}` cannot be an enum value",
                path,
                hint="use `type: string` with `values` for such texts",
            )
        if value.casefold() in seen:
            collision = f"`{value}` collides with `{seen[value.casefold()]}`"
            raise TypeSyntaxError(collision, path, hint="rename one of them, or drop it")
        seen[value.casefold()] = value
    return tuple(seen.values())


def _boolean(field: Mapping[str, Any], key: str) -> bool:
    value = field.get(key, False)
    if not isinstance(value, bool):
        raise TypeSyntaxError(f"`{value}` is neither true nor false", (key,))
    return value


def _formatted(value_type: ValueType, form: object) -> ValueType:
    """An `integer` is of 64 bits, with `format: int32` of 32."""
    if form is None:
        return value_type
    innermost = _innermost(value_type)
    if form != "int32" or innermost not in (SCALARS["integer"], SCALARS["int32"]):
        raise TypeSyntaxError(f"`format: {form}` is unknown", ("format",), "`type: integer` has `format: int32`")
    match value_type:
        case ListType():
            return ListType(SCALARS["int32"])
        case MapType():
            return MapType(SCALARS["int32"])
        case _:
            return SCALARS["int32"]


def _items(field: Mapping[str, Any]) -> Mapping[str, Any]:
    """What `items` says about each item of a list or map."""
    items: object = field.get("items")
    if items is None:
        return {}
    hint = f"write `items: {{max_length: 80}}`; its keys are {', '.join(ITEM_KEYS)}"
    if not isinstance(items, Mapping):
        raise TypeSyntaxError("`items` is a mapping of constraints", ("items",), hint)
    if not str(field.get("type", "string")).strip().endswith(("[]", ">")):
        raise TypeSyntaxError("`items` belongs to a list or a map", ("items",), "write the constraints without `items`")
    given: Mapping[str, Any] = items  # pyright: ignore[reportUnknownVariableType]
    for key in given:
        if key not in ITEM_KEYS:
            raise TypeSyntaxError(f"`{key}` is no constraint of an item", ("items", key), hint)
        if field.get(key) is not None and key not in _OF_BOTH:
            raise TypeSyntaxError(
                f"`{key}` is given twice, here and beside `items`", ("items", key), "drop one of the two"
            )
    return given


_OF_BOTH = frozenset({"min_length", "max_length"})
"""Beside `items` they count the items, in it they are about each."""


def _constraints(field: Mapping[str, Any], value_type: ValueType) -> Constraints:
    found = _checked(field, ())
    for key, value in _checked(_items(field), ("items",)).items():
        found[f"item_{key}" if key in _OF_BOTH else key] = value
    values: object = found.pop("values", None)
    if values is not None and not isinstance(_innermost(value_type), EnumType):
        if not isinstance(values, list | tuple) or not values:
            problem = "`values` lists nothing" if isinstance(values, list | tuple) else "`values` is a list"
            place = ("values",) if field.get("values") is not None else ("items", "values")
            raise TypeSyntaxError(problem, place, hint="write `values: [first, second]`, or drop it")
        found["values"] = tuple(str(value) for value in values)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    return Constraints(**found)


def _checked(given: Mapping[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    """The constraints in a mapping, each of the type that it must have."""
    found = {key: given[key] for key in ITEM_KEYS if given.get(key) is not None}
    for key, value in found.items():
        if key == "pattern":
            _check_pattern(value, (*path, key))
        elif key == "accept":
            found[key] = _media_types(value, (*path, key))
        elif key != "values" and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise TypeSyntaxError(f"`{key}` is a number", (*path, key))
    return found


def _media_types(value: object, path: tuple[str, ...]) -> tuple[str, ...]:
    hint = "write `accept: [image/png, application/pdf]` or `accept: [image/*]`"
    if not isinstance(value, list | tuple) or not value:
        raise TypeSyntaxError("`accept` lists media types", path, hint)
    listed: list[Any] = list(value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    for index, item in enumerate(listed):
        if not isinstance(item, str) or not _MEDIA_TYPE.fullmatch(item):
            raise TypeSyntaxError(f"`{item}` is no media type", (*path, index), hint)
    return tuple(item.lower() for item in listed)


def _innermost(value_type: ValueType) -> ValueType:
    match value_type:
        case ListType(element=inner) | MapType(value=inner):
            return inner
        case _:
            return value_type


def _check_pattern(pattern: object, path: tuple[str, ...]) -> None:
    try:
        re.compile(str(pattern))
    except (re.error, OverflowError, RecursionError) as error:
        raise TypeSyntaxError(f"`pattern` is no regular expression: {error}", path) from None
