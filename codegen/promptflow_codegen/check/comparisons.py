"""Comparisons whose outcome is known before the run, or that can only fail."""

from __future__ import annotations

from jinja2 import nodes

from promptflow_codegen.check.type_classes import is_boolean, is_collection, is_number, is_text
from promptflow_codegen.template_syntax import nearest
from promptflow_core.types import EnumType, ListType, ValueType, spelling

Operand = tuple[ValueType | None, nodes.Node]
Reason = tuple[str, str, str]
"""Code, message, hint."""

_EQUALITY = {"eq": "never", "ne": "always"}
_ORDER = {"lt": "<", "lteq": "<=", "gt": ">", "gteq": ">="}
_MEMBERSHIP = {"in": "never", "notin": "always"}


def why_pointless(operator: str, left: Operand, right: Operand) -> Reason | None:
    """What is wrong with a comparison; None where its outcome depends on the run."""
    if left[0] is None or right[0] is None:
        return _never_listed(operator, left, right) if operator in _MEMBERSHIP else None
    if operator in _EQUALITY:
        return _unequal(_EQUALITY[operator], left, right)
    if operator in _ORDER:
        return _unordered(_ORDER[operator], left[0], right[0])
    return _never_member(operator, left, right)


def _unequal(when: str, left: Operand, right: Operand) -> Reason | None:
    for (one, _), (_, other) in ((left, right), (right, left)):
        if isinstance(one, EnumType) and isinstance(other, nodes.Const) and isinstance(other.value, str):
            return _no_such_value(when, one, other.value)
    left_type, right_type = left[0], right[0]
    assert left_type is not None
    assert right_type is not None
    if isinstance(left_type, EnumType) and isinstance(right_type, EnumType):
        shared = set(left_type.values) & set(right_type.values)
        return None if shared else ("never-holds", f"the two enums have no value in common: this {when} holds", "")
    if _differ(left_type, right_type):
        message = f"{spelling(left_type)} and {spelling(right_type)} are never equal: this {when} holds"
        return "never-holds", message, _conversion_hint(left_type, right_type)
    return None


def _no_such_value(when: str, enum: EnumType, value: str) -> Reason | None:
    if value in enum.values:
        return None
    close = nearest(value, enum.values)
    listed = ", ".join(enum.values[:12]) + (", …" if len(enum.values) > 12 else "")
    hint = f"did you mean `{close}`?" if close else f"values: {listed}"
    return "never-holds", f"`{value[:60]}` is none of the enum's values: this {when} holds", hint


def _unordered(sign: str, left: ValueType, right: ValueType) -> Reason | None:
    if not _differ(left, right):
        return None
    message = f"`{sign}` cannot compare {spelling(left)} with {spelling(right)}"
    return "type-mismatch", message, _conversion_hint(left, right)


def _never_member(operator: str, left: Operand, right: Operand) -> Reason | None:
    left_type, right_type = left[0], right[0]
    assert left_type is not None
    assert right_type is not None
    if is_number(right_type) or is_boolean(right_type):
        return "type-mismatch", f"`in` looks into texts, lists and maps, not into {spelling(right_type)}", ""
    if is_text(right_type) and not is_text(left_type):
        return (
            "type-mismatch",
            f"a text holds texts, not {spelling(left_type)}",
            _conversion_hint(left_type, right_type),
        )
    if isinstance(right_type, ListType):
        listed = _never_listed(operator, left, right)
        if listed is not None or isinstance(right[1], nodes.List | nodes.Tuple):
            return listed
        return _unequal(_MEMBERSHIP[operator], left, (right_type.element, right[1]))
    return None


def _never_listed(operator: str, left: Operand, right: Operand) -> Reason | None:
    """An enum against a list that is written out."""
    items = right[1].items if isinstance(right[1], nodes.List | nodes.Tuple) else []
    texts = [item.value for item in items if isinstance(item, nodes.Const) and isinstance(item.value, str)]
    if not isinstance(left[0], EnumType) or not items or len(texts) < len(items):
        return None
    found = [_no_such_value(_MEMBERSHIP[operator], left[0], text) for text in texts]
    return found[0] if all(found) else None


def _differ(left: ValueType, right: ValueType) -> bool:
    """Whether the two are of classes that Python never takes for equal; booleans are numbers to it."""
    one, other = _class_of(left), _class_of(right)
    return one is not None and other is not None and one != other


def _class_of(value_type: ValueType) -> str | None:
    if is_text(value_type):
        return "text"
    if is_number(value_type) or is_boolean(value_type):
        return "number"
    if is_collection(value_type):
        return "list" if isinstance(value_type, ListType) else "mapping"
    return None


def _conversion_hint(left: ValueType, right: ValueType) -> str:
    classes = {_class_of(left), _class_of(right)}
    return "`| int`, `| float` and `| string` convert" if classes == {"text", "number"} else ""
