"""A name in the words of the flow file, `steps.ocr.config.model`, as a place in it."""

from __future__ import annotations

from promptflow_codegen.diagnostics import Position
from promptflow_codegen.tree import ListNode, MapNode, Node, ScalarNode


def place_of(root: Node, path: str) -> Position:
    """Where `path` stands in a flow file, or the innermost part of it that does; the flow's name where nothing does."""
    node, found = root, _start(root)
    for key in filter(None, path.split(".")):
        match node:
            case MapNode() if (entry := node.entry(key)) is not None:
                node, found = entry.value, entry.position
            case MapNode() if (entry := node.entry("fields")) is not None:
                below = _named(entry.value, key)
                if below is None:
                    return found
                node, found = below
            case ListNode():
                below = _named(node, key)
                if below is None:
                    return found
                node, found = below
            case _:
                return found
    return found


def _start(root: Node) -> Position:
    entry = root.entry("name") if isinstance(root, MapNode) else None
    return entry.value.position if entry else root.position


def _named(node: Node, name: str) -> tuple[Node, Position] | None:
    """The item of a list of mappings whose `name` is this one."""
    for item in node.items if isinstance(node, ListNode) else ():
        entry = item.entry("name") if isinstance(item, MapNode) else None
        if entry is not None and isinstance(entry.value, ScalarNode) and entry.value.value == name:
            return item, entry.value.position
    return None
