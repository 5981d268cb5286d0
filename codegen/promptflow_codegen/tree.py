"""The parts of a YAML file, each with its place: what `source` builds and `read` reads."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from promptflow_codegen.diagnostics import Position


@dataclass(frozen=True, slots=True)
class ScalarNode:
    """One value. `text`, `start` and `end` say where it is written; `style` is its quote or block indicator."""

    value: str | int | float | bool | None
    position: Position
    style: str = ""
    text: str = field(default="", repr=False)
    start: int = 0
    end: int = 0

    @property
    def written(self) -> str:
        """How the value is spelled in the file, as far as a message can show it."""
        return self.text[self.start : self.end][:60]

    def at(self, offset: int) -> Position:
        """Where the character at `offset` of a text value stands in the file."""
        return Places(self).at(offset)


@dataclass(frozen=True, slots=True)
class ListNode:
    """Values in order."""

    items: tuple[Node, ...]
    position: Position


@dataclass(frozen=True, slots=True)
class Entry:
    """A key and its value; `position` is the key's."""

    key: str
    position: Position
    value: Node


@dataclass(frozen=True, slots=True)
class MapNode:
    """Keys and values in order; a key occurs once."""

    entries: tuple[Entry, ...]
    position: Position

    def entry(self, key: str) -> Entry | None:
        """The entry of a key, if there is one."""
        return next((entry for entry in self.entries if entry.key == key), None)


Node = ScalarNode | ListNode | MapNode


def to_plain(node: Node | None) -> Any:
    """The value as dicts, lists and scalars."""
    match node:
        case MapNode(entries=entries):
            return {entry.key: to_plain(entry.value) for entry in entries}
        case ListNode(items=items):
            return [to_plain(item) for item in items]
        case ScalarNode(value=value):
            return value
        case None:
            return None


def node_at(node: Node, path: tuple[str | int, ...]) -> Node:
    """The node that `path` leads to, or the last one on the way that exists."""
    for key in path:
        below: Node | None = None
        if isinstance(node, MapNode) and isinstance(key, str):
            entry = node.entry(key)
            below = entry.value if entry else None
        elif isinstance(node, ListNode) and isinstance(key, int) and 0 <= key < len(node.items):
            below = node.items[key]
        if below is None:
            return node
        node = below
    return node


def shape_of(node: Node) -> str:
    """What a node is, in words for people."""
    match node:
        case MapNode():
            return "a mapping"
        case ListNode():
            return "a list"
        case ScalarNode(value=None):
            return "nothing"
        case ScalarNode(value=bool()):
            return "true or false"
        case ScalarNode(value=int() | float()):
            return "a number"
        case ScalarNode():
            return "a text"


_LONG_ESCAPES = {"x": 4, "u": 6, "U": 10}


class Places:
    """Where the characters of one text value stand in its file: each is looked for once, however many are asked for."""

    def __init__(self, node: ScalarNode) -> None:
        self._node = node
        self._value = str(node.value)
        first = node.start
        if node.style in ("|", ">"):
            first = node.text.find("\n", first, node.end) + 1
        elif node.style:
            first += 1
        self._indexes = [first]

    def at(self, offset: int) -> Position:
        """Where the character at `offset` stands."""
        node = self._node
        before = node.text[node.start : self._index(min(offset, len(self._value)))]
        lines = before.count("\n")
        column = len(before) - before.rfind("\n") if lines else node.position.column + len(before)
        return Position(node.position.line + lines, column)

    def _index(self, offset: int) -> int:
        """Follow value and source side by side; space is skipped on both sides, for folding changes it."""
        node, found = self._node, self._indexes
        for character in self._value[len(found) - 1 : offset]:
            is_space = character.isspace()
            found.append(found[-1] if is_space else _after(node, _skip_space(node, found[-1]), character))
        index = found[offset]
        return min(_skip_space(node, index) if self._value[offset : offset + 1].strip() else index, node.end)


def _skip_space(node: ScalarNode, index: int) -> int:
    while index < node.end:
        if node.text[index].isspace():
            index += 1
        elif node.style == '"' and node.text[index] == "\\" and node.text[index + 1 : index + 2] in "ntr \n":
            index += 2
        else:
            break
    return index


def _after(node: ScalarNode, index: int, character: str) -> int:
    if node.style == '"' and node.text[index : index + 1] == "\\":
        return index + _LONG_ESCAPES.get(node.text[index + 1 : index + 2], 2)
    if node.style == "'" and character == "'":
        return index + 2
    return index + 1
