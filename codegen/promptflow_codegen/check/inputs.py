"""Inputs: names that requests can carry, constraints that mean something, defaults that fit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any

from promptflow_codegen.check.shapes import MAX_FIELDS, misshapen, normalised_object
from promptflow_codegen.diagnostics import Position, Report
from promptflow_codegen.naming import RESERVED_INPUTS, folded
from promptflow_codegen.nodes import InputNode
from promptflow_codegen.read_keys import check_name
from promptflow_codegen.tree import ListNode, MapNode, Node, node_at
from promptflow_core.coercion import INT32, INT64, CoercionError, coerce
from promptflow_core.types import (
    Constraints,
    FieldType,
    Kind,
    ListType,
    MapType,
    ObjectType,
    ScalarType,
    ValueType,
    spelling,
)

MAX_INPUTS = 500

_LENGTHS = frozenset({"min_length", "max_length"})
_BOUNDS = frozenset({"min", "max"})
_ITEM_LENGTHS = {"min_length": "item_min_length", "max_length": "item_max_length"}
_BY_KIND = {
    Kind.STRING: _LENGTHS | {"pattern", "values", "max_bytes"},
    Kind.BYTES: _LENGTHS | {"max_bytes"},
    Kind.FILE: frozenset({"max_bytes", "accept"}),
    Kind.INTEGER: _BOUNDS,
    Kind.INT32: _BOUNDS,
    Kind.NUMBER: _BOUNDS,
}
_WHOLE = frozenset({"min_length", "max_length", "max_bytes", "item_min_length", "item_max_length"})
_MAX_DURATION_S = 315_576_000_000
"""Ten thousand years: messages carry no longer ones."""

_NO_DEFAULT = frozenset({Kind.BYTES, Kind.FILE})


def check_inputs(inputs: Sequence[InputNode], report: Report) -> ObjectType:
    """The inputs as one object; what is wrong with them goes to `report`."""
    if len(inputs) > MAX_INPUTS:
        report.error("too-many", inputs[MAX_INPUTS].position, f"a flow has at most {MAX_INPUTS} inputs")
    seen: dict[str, str] = {}
    for declared in inputs[:MAX_INPUTS]:
        _check_input_name(declared, seen, report)
        for problem in misshapen(declared.field.type):
            report.error("bad-type", declared.position, f"input `{declared.field.name}`: {problem}")
        _check_field(declared.field, declared.node, report)
    declared_inputs = ObjectType(tuple(declared.field for declared in inputs))
    return declared_inputs if report.has_errors else normalised_object(declared_inputs)


def _check_input_name(declared: InputNode, seen: dict[str, str], report: Report) -> None:
    name = declared.field.name
    if name in RESERVED_INPUTS:
        report.error("reserved-name", declared.position, f"`{name}` is a field of every request", "rename the input")
    twin = seen.get(folded(name))
    if twin == name:
        report.error("duplicate-name", declared.position, f"input `{name}` is here twice", "rename one of them")
    elif twin is not None:
        message = f"input `{name}` collides with `{twin}`"
        report.error("name-collision", declared.position, message, "rename one of them")
    seen.setdefault(folded(name), name)


def _check_field(field: FieldType, node: MapNode, report: Report) -> None:
    if field.required and field.default is not None:
        message = f"`{field.name}` is required and has a default"
        report.error(
            "bad-default", _place(node, "default"), message, "a default applies to absence: drop one of the two"
        )
    problems = list(constraint_problems(field.type, field.constraints))
    for key, message in problems:
        report.error("bad-constraint", _place(node, key), f"`{field.name}`: {message}")
    if not problems and field.default is not None:
        _check_default(field, _place(node, "default"), report)
    _check_inner_fields(_innermost(field.type), node, report)


def _check_inner_fields(value_type: ValueType, node: MapNode, report: Report) -> None:
    if not isinstance(value_type, ObjectType):
        return
    listed = node_at(node, ("fields",))
    below: tuple[Node, ...] = listed.items if isinstance(listed, ListNode) else ()
    for field, inner in zip(value_type.fields, below, strict=False):
        if isinstance(inner, MapNode):
            check_name(field.name, inner.position, report)
            _check_field(field, inner, report)


def constraint_problems(value_type: ValueType, constraints: Constraints) -> Iterator[tuple[str, str]]:
    """Key and message of each constraint that cannot be kept."""
    given = {key: value for key, value in asdict(constraints).items() if value is not None}
    allowed = _allowed(value_type)
    if len(given.get("values", ())) > MAX_FIELDS:
        yield "values", f"`values` lists more than {MAX_FIELDS}"
    for key, value in given.items():
        if key not in allowed:
            yield key, _without_meaning(key, value_type)
        elif key in _WHOLE and (value != int(value) or not 0 <= value < INT64.stop):
            yield key, f"`{key}` is a whole number from 0"
        elif key in _BOUNDS and not _is_exact(value):
            yield key, f"`{key}` has more digits than a bound can have"
        elif (
            key in _BOUNDS and _is_integer(value_type) and (value != int(value) or int(value) not in _range(value_type))
        ):
            bits = 64 if _range(value_type) is INT64 else 32
            yield key, f"`{key}` of {spelling(value_type)} is a whole number of {bits} bits"
    for low, high in (("min", "max"), ("min_length", "max_length"), ("item_min_length", "item_max_length")):
        if low in given and high in given and given[low] > given[high]:
            yield high, f"`{high.removeprefix('item_')}` is below `{low.removeprefix('item_')}`"


def _without_meaning(key: str, value_type: ValueType) -> str:
    item = f"`{key.removeprefix('item_')}` of an item" if key.startswith("item_") else f"`{key}`"
    return f"{item} means nothing for {spelling(value_type)}"


def _range(value_type: ValueType) -> range:
    return INT32 if _innermost(value_type) == ScalarType(Kind.INT32) else INT64


def _is_exact(bound: float) -> bool:
    try:
        return float(bound) == bound
    except OverflowError:
        return False


def _allowed(value_type: ValueType) -> frozenset[str]:
    match value_type:
        case ScalarType(scalar=kind):
            return _BY_KIND.get(kind, frozenset())
        case ListType(element=inner) | MapType(value=inner):
            inside = _allowed(inner)
            return inside | _LENGTHS | {_ITEM_LENGTHS[key] for key in inside & _LENGTHS}
        case _:
            return frozenset()


def _is_integer(value_type: ValueType) -> bool:
    inner = _innermost(value_type)
    return isinstance(inner, ScalarType) and inner.scalar in (Kind.INTEGER, Kind.INT32)


def _innermost(value_type: ValueType) -> ValueType:
    match value_type:
        case ListType(element=inner) | MapType(value=inner):
            return inner
        case _:
            return value_type


def _check_default(field: FieldType, position: Position, report: Report) -> None:
    inner = _innermost(field.type)
    if isinstance(inner, ScalarType) and inner.scalar in _NO_DEFAULT:
        report.error("bad-default", position, f"`{field.name}` is {spelling(field.type)}, which has no default")
        return
    try:
        value = coerce(field.default, field.type)
    except (CoercionError, OverflowError) as error:
        message = str(error) if isinstance(error, CoercionError) else "the number is too large"
        report.error("bad-default", position, f"the default of `{field.name}` does not fit: {message}")
        return
    for problem in violations(value, field.type, field.constraints):
        report.error("bad-default", position, f"the default of `{field.name}` {problem}")


def violations(value: Any, value_type: ValueType, limits: Constraints) -> Iterator[str]:
    """What a value that fits its type breaks of its constraints, but for patterns: "is above `max`"."""
    match value_type:
        case ListType(element=inner):
            yield from _length_violations(value, limits)
            for item in value:
                yield from violations(item, inner, _of_item(limits))
        case MapType(value=inner):
            yield from _length_violations(value, limits)
            for item in value.values():
                yield from violations(item, inner, _of_item(limits))
        case ObjectType(fields=fields):
            for field in fields:
                if field.name in value:
                    problems = violations(value[field.name], field.type, field.constraints)
                    yield from (f"is wrong in `{field.name}`: it {problem}" for problem in problems)
        case ScalarType(scalar=kind):
            yield from _scalar_violations(value, kind, limits)
        case _:
            pass


def _scalar_violations(value: Any, kind: Kind, limits: Constraints) -> Iterator[str]:
    match kind:
        case Kind.STRING:
            yield from _length_violations(value, limits)
            yield from _text_violations(value, limits)
        case Kind.INTEGER | Kind.INT32 | Kind.NUMBER:
            yield from _bound_violations(value, limits)
        case Kind.DURATION if abs(value.total_seconds()) > _MAX_DURATION_S:
            yield "is longer than ten thousand years"
        case Kind.JSON if _has_huge_integer(value):
            yield "holds an integer of more than 64 bits"
        case _:
            pass


def _of_item(limits: Constraints) -> Constraints:
    return replace(limits, min_length=limits.item_min_length, max_length=limits.item_max_length)


def _has_huge_integer(value: Any) -> bool:
    match value:
        case dict():
            return any(map(_has_huge_integer, value.values()))  # pyright: ignore[reportUnknownArgumentType, reportUnknownMemberType]
        case list():
            return any(map(_has_huge_integer, value))  # pyright: ignore[reportUnknownArgumentType]
        case int():
            return value not in INT64
        case _:
            return False


def _text_violations(value: str, limits: Constraints) -> Iterator[str]:
    # `patterns` tries the pattern: Python's engine may take for ever over it.
    if limits.values is not None and value not in limits.values:
        yield "is none of `values`"


def _bound_violations(value: float, limits: Constraints) -> Iterator[str]:
    if limits.min is not None and value < limits.min:
        yield "is below `min`"
    if limits.max is not None and value > limits.max:
        yield "is above `max`"


def _length_violations(value: Any, limits: Constraints) -> Iterator[str]:
    if limits.min_length is not None and len(value) < limits.min_length:
        yield "is shorter than `min_length`"
    if limits.max_length is not None and len(value) > limits.max_length:
        yield "is longer than `max_length`"
    if limits.max_bytes is not None and isinstance(value, str) and len(value.encode()) > limits.max_bytes:
        yield "has more than `max_bytes`"


def _place(node: MapNode, key: str) -> Position:
    below = node_at(node, ("items", key.removeprefix("item_"))) if key.startswith("item_") else None
    entry = node.entry(key)
    return entry.position if entry else (below or node).position
