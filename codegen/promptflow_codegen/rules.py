"""Constraints of inputs as options that protovalidate enforces."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any

from promptflow_core.types import Constraints, EnumType, FieldType, Kind, ListType, MapType, ScalarType, ValueType

DEPRECATED = "deprecated = true"

_FIELD = "(.buf.validate.field)"
_NUMBERS = {Kind.INTEGER: "int64", Kind.INT32: "int32", Kind.NUMBER: "double"}


def validation_options(field: FieldType) -> tuple[str, ...]:
    """The options of one field, `required` first."""
    presence: tuple[str, ...] = ()
    if field.required:
        presence = ("required = true",)
    elif isinstance(field.type, ListType | MapType) and field.constraints.min_length:
        # Lists and maps have no presence: an empty one is an absent one, which an optional input may be.
        presence = ("ignore = IGNORE_IF_ZERO_VALUE",)
    return tuple(f"{_FIELD}.{rule}" for rule in (*presence, *_rules(field.type, field.constraints)))


def given_limits(limits: Constraints) -> dict[str, Any]:
    """The constraints that set a bound, by their key in YAML."""
    found = {limit.name: getattr(limits, limit.name) for limit in fields(Constraints)}
    return {
        key: list(value) if isinstance(value, tuple) else value  # pyright: ignore[reportUnknownArgumentType]
        for key, value in found.items()
        if value is not None
    }


def quoted(text: str) -> str:
    """A text as a literal of a proto file."""
    return '"' + "".join(map(_escaped, text)) + '"'


def _rules(value_type: ValueType, limits: Constraints) -> Iterator[str]:
    match value_type:
        case ListType(element=inner):
            yield from _bounds("repeated", "min_items", "max_items", limits)
            yield from (f"repeated.items.{rule}" for rule in _rules(inner, _without_length(limits)))
        case MapType(value=inner):
            yield from _bounds("map", "min_pairs", "max_pairs", limits)
            yield from (f"map.values.{rule}" for rule in _rules(inner, _without_length(limits)))
        case EnumType():
            yield from ("enum.defined_only = true", "enum.not_in = 0")
        case ScalarType(scalar=kind) if kind in _NUMBERS:
            yield from _number_rules(_NUMBERS[kind], is_whole=kind is not Kind.NUMBER, limits=limits)
        case ScalarType(scalar=Kind.STRING):
            yield from _string_rules(limits)
        case ScalarType(scalar=Kind.BYTES):
            longest = [bound for bound in (limits.max_length, limits.max_bytes) if bound is not None]
            yield from _bounds(
                "bytes", "min_len", "max_len", Constraints(None, None, limits.min_length, min(longest, default=None))
            )
        case ScalarType(scalar=Kind.FILE):
            yield from _file_rules(limits)
        case _:
            pass


def _bounds(rule: str, low: str, high: str, limits: Constraints) -> Iterator[str]:
    if limits.min_length is not None:
        yield f"{rule}.{low} = {int(limits.min_length)}"
    if limits.max_length is not None:
        yield f"{rule}.{high} = {int(limits.max_length)}"


def _number_rules(rule: str, *, is_whole: bool, limits: Constraints) -> Iterator[str]:
    for key, bound in (("gte", limits.min), ("lte", limits.max)):
        if bound is not None:
            yield f"{rule}.{key} = {int(bound) if is_whole else repr(bound)}"


def _string_rules(limits: Constraints) -> Iterator[str]:
    yield from _bounds("string", "min_len", "max_len", limits)
    if limits.max_bytes is not None:
        yield f"string.max_bytes = {int(limits.max_bytes)}"
    if limits.pattern is not None:
        yield f"string.pattern = {quoted(limits.pattern)}"
    for value in limits.values or ():
        yield f"string.in = {quoted(value)}"


def _file_rules(limits: Constraints) -> Iterator[str]:
    if limits.max_bytes is not None:
        yield (
            f'cel = {{id: "max_bytes" message: "must be at most {int(limits.max_bytes)} bytes" '
            f'expression: "size(this.content) <= {int(limits.max_bytes)}"}}'
        )
    if limits.accept is not None:
        # A file that does not say its type is let through: nobody looked into it.
        types = "|".join(re.escape(kind).replace(r"/\*", "/[^;]+") for kind in limits.accept)
        pattern = f"^(?i:{types})\\s*(;.*)?$"
        expression = f"this.content_type == '' || this.content_type.matches(r'{pattern}')"
        message = f"must be of the type {' or '.join(limits.accept)}"
        yield f'cel = {{id: "accept" message: {quoted(message)} expression: {quoted(expression)}}}'


def _without_length(limits: Constraints) -> Constraints:
    return replace(
        limits,
        min_length=limits.item_min_length,
        max_length=limits.item_max_length,
        item_min_length=None,
        item_max_length=None,
    )


def _escaped(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    if character.isprintable():
        return character
    return "".join(f"\\{byte:03o}" for byte in character.encode())
