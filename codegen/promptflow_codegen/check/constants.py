"""Constants that a step gives to the flow that it runs, held against what that flow asks of its inputs."""

from __future__ import annotations

from collections.abc import Iterator

from promptflow_codegen.check.inputs import violations
from promptflow_codegen.diagnostics import Report
from promptflow_codegen.tree import ListNode, MapNode, Node, ScalarNode, to_plain
from promptflow_core.coercion import CoercionError, coerce
from promptflow_core.types import FieldType, ObjectType

_TEMPLATE = ("{{", "{%", "{#")


def constants_of(config: MapNode, inputs: ObjectType) -> Iterator[tuple[FieldType, Node]]:
    """The inputs that a config gives without a template, with what it gives."""
    for entry in config.entries:
        field = inputs.field(entry.key)
        if field is not None and is_constant(entry.value):
            yield field, entry.value


def is_constant(node: Node) -> bool:
    """Whether a value of a flow file holds no template."""
    match node:
        case MapNode(entries=entries):
            return all(is_constant(entry.value) for entry in entries)
        case ListNode(items=items):
            return all(map(is_constant, items))
        case ScalarNode(value=str() as text):
            return not any(mark in text for mark in _TEMPLATE)
        case ScalarNode(value=value):
            return value is not None


def check_constants(config: MapNode, inputs: ObjectType, what: str, report: Report) -> None:
    """Report constants of the right type that the flow would refuse; those of a wrong type are reported already."""
    for field, node in constants_of(config, inputs):
        try:
            value = coerce(to_plain(node), field.type)
        except (CoercionError, OverflowError):
            continue
        for problem in violations(value, field.type, field.constraints):
            report.error("bad-value", node.position, f"`{field.name}` of {what} {problem}")
