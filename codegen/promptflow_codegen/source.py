"""YAML text as a tree that knows where each part stands.

The tree is bounded (1 MB, 50 levels) and is what the text says: no anchors, aliases, tags, duplicate keys or second
documents. Nothing that a text can hold makes reading slow or raises.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from promptflow_codegen.diagnostics import Position, Report
from promptflow_codegen.tree import Entry, ListNode, MapNode, Node, ScalarNode

MAX_BYTES = 1 << 20
MAX_DEPTH = 50

_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_EXPONENT = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+")
_WORD = re.compile(r"(?!(?:y|n|yes|no|on|off|true|false|null)$)[A-Za-z][A-Za-z_ ]*", re.IGNORECASE)
"""A text to every version of YAML."""

_DEPTH_HINT = "nest less: close what is open, or move a part into a flow of its own"
_QUOTE_HINT = 'quote templates: `"{{ inputs.text }}"`'


def read_bytes(path: Path, report: Report) -> bytes | None:
    """The bytes of a file, at most one more than a file may have; None where it cannot be read."""
    try:
        if not path.is_file():
            raise OSError("it is not a file")
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        report.error("unreadable-file", Position(), f"the file cannot be read: {error.strerror or error}")
        return None


def parse_source(data: bytes, report: Report) -> Node | None:
    """The tree of one file, or None where there is none to work with; what is wrong goes to `report`."""
    text = _decode(data, report)
    if text is None:
        return None
    try:
        return _Builder(text, report).build()
    except _RefusedError as refused:
        report.error(refused.code, refused.position, refused.message, refused.hint)
    except yaml.YAMLError as error:
        _report_syntax(error, text, report)
    return None


class _RefusedError(Exception):
    def __init__(self, code: str, position: Position, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code, self.position, self.message, self.hint = code, position, message, hint


def _decode(data: bytes, report: Report) -> str | None:
    if len(data) > MAX_BYTES:
        message, hint = f"the file has more than {MAX_BYTES} bytes", "split it into flows that call each other"
        report.error("too-large", Position(), message, hint)
        return None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        report.error("not-utf8", Position(line), "the file is not UTF-8", "save it as UTF-8")
        return None
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    found = _UNPRINTABLE.search(text)
    if found is not None:
        position = _position_of(text, found.start())
        report.error("syntax", position, f"character U+{ord(found.group()):04X} is not allowed in YAML")
        return None
    return text


@dataclass(slots=True)
class _Open:
    """A list or mapping whose end has not come; in a mapping, `key` waits for its value."""

    is_map: bool
    position: Position
    items: list[Node] = field(default_factory=list[Node])
    entries: dict[str, Entry] = field(default_factory=dict[str, Entry])
    key: ScalarNode | None = None


class _Builder:
    def __init__(self, text: str, report: Report) -> None:
        self._text = text
        self._report = report
        self._open: list[_Open] = []
        self._root: Node | None = None
        self._resolver: Any = yaml.resolver.Resolver()

    def build(self) -> Node | None:
        for event in _events(self._text):
            self._take(event)
        if self._root is None:
            self._report.error("empty-file", Position(), "the file holds nothing")
        return self._root

    def _take(self, event: yaml.Event) -> None:
        position = _mark_position(event.start_mark)
        self._refuse_references(event, position)
        match event:
            case yaml.DocumentStartEvent() if self._root is not None:
                raise _RefusedError("syntax", position, "a second document begins here", "write one flow per file")
            case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                self._begin(_Open(isinstance(event, yaml.MappingStartEvent), position))
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                self._end(self._open.pop())
            case yaml.ScalarEvent():
                self._add(self._scalar(event, position))
            case _:
                pass

    def _refuse_references(self, event: yaml.Event, position: Position) -> None:
        if getattr(event, "anchor", None) is not None:  # an alias has one, too
            raise _RefusedError(
                "anchor", position, "anchors and aliases are not allowed", "write the value out where it is used"
            )
        if isinstance(event, yaml.CollectionStartEvent | yaml.ScalarEvent) and event.tag is not None:
            raise _RefusedError("tag", position, f"tag `{event.tag[:60]}` is not allowed", "write the plain value")

    def _begin(self, opened: _Open) -> None:
        if self._open and self._open[-1].is_map and self._open[-1].key is None:
            is_template = self._text.startswith("{{", _index_of(self._text, self._open[-1].position))
            message = "a template needs quotes" if is_template else "a key is a word"
            raise _RefusedError("syntax", opened.position, message, _QUOTE_HINT if is_template else "")
        if len(self._open) >= MAX_DEPTH:
            message = f"the file nests more than {MAX_DEPTH} levels deep"
            raise _RefusedError("too-deep", opened.position, message, _DEPTH_HINT)
        self._open.append(opened)

    def _end(self, closed: _Open) -> None:
        if closed.is_map:
            self._add(MapNode(tuple(closed.entries.values()), closed.position))
        else:
            self._add(ListNode(tuple(closed.items), closed.position))

    def _add(self, node: Node) -> None:
        if not self._open:
            self._root = node
            return
        parent = self._open[-1]
        if not parent.is_map:
            parent.items.append(node)
        elif parent.key is None:
            assert isinstance(node, ScalarNode)
            parent.key = node
        else:
            self._add_entry(parent, parent.key, node)
            parent.key = None

    def _add_entry(self, parent: _Open, key: ScalarNode, value: Node) -> None:
        if not isinstance(key.value, str):
            self._report.error("bad-key", key.position, f"key `{key.written}` is no word", f'write `"{key.written}"`')
        elif key.value in parent.entries:
            first = parent.entries[key.value].position
            message = f"key `{key.value}` is here for the second time; the first is in line {first.line}"
            self._report.error("duplicate-key", key.position, message, "remove one of the two")
        else:
            parent.entries[key.value] = Entry(key.value, key.position, value)

    def _scalar(self, event: yaml.ScalarEvent, position: Position) -> ScalarNode:
        start: Any = event.start_mark
        end: Any = event.end_mark
        style = event.style if event.style in ("'", '"', "|", ">") else ""
        # Without escapes a text holds what the file holds, which was looked at.
        found = _UNPRINTABLE.search(event.value) if style == '"' else None
        if found is not None:
            message = f"the text holds the control character U+{ord(found.group()):04X}"
            raise _RefusedError("syntax", position, message, "no file, message or terminal carries it safely")
        if style or _WORD.fullmatch(event.value):
            return ScalarNode(event.value, position, style, self._text, start.index, end.index)
        tag: str = self._resolver.resolve(yaml.ScalarNode, event.value, event.implicit)
        if event.implicit[0] and _EXPONENT.fullmatch(event.value):
            # A number in YAML 1.2 and JSON; YAML 1.1 asks for a point.
            tag = "tag:yaml.org,2002:float"
        return ScalarNode(_value_of(tag, event.value, position), position, style, self._text, start.index, end.index)


def _events(text: str) -> Iterator[yaml.Event]:
    # libyaml reads a megabyte in a second, the parser in Python takes ten.
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.parse(text, Loader=loader)


def _value_of(tag: str, text: str, position: Position) -> str | int | float | bool | None:
    match tag.rpartition(":")[2]:
        case "null":
            return None
        case "bool":
            return text.lower() in ("true", "yes", "on")
        case "int" if ":" not in text:
            return _integer(text, position)
        case "float" if ":" not in text:
            return _number(text, position)
        case _:
            # Dates too: a timestamp is spelled as text. `12:30` is no number to base 60.
            return text


def _integer(text: str, position: Position) -> int:
    digits = text.replace("_", "").lower()
    unsigned = digits.lstrip("+-")
    is_octal = len(unsigned) > 1 and unsigned.startswith("0") and unsigned.isdigit()
    try:
        return int(digits, 8 if is_octal else 0)
    except ValueError:
        hint = "write a smaller one, or quote it where a text is meant"
        raise _RefusedError("syntax", position, f"`{text[:40]}` is no number that can be used", hint) from None


def _number(text: str, position: Position) -> float:
    try:
        number = float(text.replace("_", "").lower().replace(".inf", "inf").replace(".nan", "nan"))
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        hint = "write a number, or quote it where a text is meant"
        raise _RefusedError("syntax", position, f"`{text[:40]}` is no finite number", hint)
    return number


def _report_syntax(error: yaml.YAMLError, text: str, report: Report) -> None:
    lines = text.rstrip("\n").split("\n")
    problem_mark, context_mark = getattr(error, "problem_mark", None), getattr(error, "context_mark", None)
    position = _mark_position(problem_mark) if problem_mark is not None else Position()
    problem = getattr(error, "problem", None) or "this is not YAML"
    is_unfinished = position.line > len(lines) or "end of stream" in problem
    if context_mark is not None and is_unfinished:
        position, problem = _mark_position(context_mark), f"what begins here does not end: {problem}"
    line = lines[min(position.line, len(lines)) - 1]
    if "\t" in line[: len(line) - len(line.lstrip())]:
        place = Position(position.line, line.index("\t") + 1)
        report.error("tab", place, "a tab is used for indentation", "indent with spaces")
        return
    if "nesting depth" in problem:
        report.error("too-deep", position, problem, _DEPTH_HINT)
        return
    report.error("syntax", position, problem, _syntax_hint(problem, line))


def _syntax_hint(problem: str, line: str) -> str:
    if "{{" in line:
        return _QUOTE_HINT
    return "quote a text that contains `: `" if "mapping values" in problem else ""


def _mark_position(mark: Any) -> Position:
    return Position(mark.line + 1, mark.column + 1)


def _position_of(text: str, index: int) -> Position:
    before = text[:index]
    return Position(before.count("\n") + 1, index - before.rfind("\n"))


def _index_of(text: str, position: Position) -> int:
    index = 0
    for _ in range(position.line - 1):
        index = text.index("\n", index) + 1
    return index + position.column - 1
