"""Values that an executor fits to types which its config declares beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from promptflow_codegen.tree import ListNode, MapNode, Node, ScalarNode
from promptflow_core.types import SCALARS, FieldType, ObjectType

Declared = tuple[Node, FieldType]


def declared_values(executor: str, config: MapNode, output: ObjectType) -> Iterator[Declared]:
    """Each value of a config whose type the config declares itself, with the field of the output that it fills."""
    find = _BY_EXECUTOR.get(executor)
    for node, field in find(config, output) if find else ():
        is_absent = isinstance(node, ScalarNode) and node.value is None
        if not is_absent or (field.required and field.type != SCALARS["json"]):
            yield node, field


def _transform(config: MapNode, output: ObjectType) -> Iterator[Declared]:
    entry, field = config.entry("value"), output.field("value")
    if entry is not None and field is not None:
        yield entry.value, field


def _combine(config: MapNode, output: ObjectType) -> Iterator[Declared]:
    entry = config.entry("fields")
    listed = entry.value.items if entry is not None and isinstance(entry.value, ListNode) else ()
    for item, field in zip(listed, output.fields, strict=False):
        if not isinstance(item, MapNode):
            continue
        value, default = item.entry("value"), item.entry("default")
        if value is not None:
            yield value.value, field
        if default is not None:
            yield default.value, field


_BY_EXECUTOR: Mapping[str, Callable[[MapNode, ObjectType], Iterator[Declared]]] = {
    "combine": _combine,
    "transform": _transform,
}

DECLARING = frozenset(_BY_EXECUTOR)
"""Executors whose configs declare the types of what they answer."""
