"""A lock whose text is just as it was printed, read line by line: many times faster than as YAML.

Almost every lock is such a text. What this reads is only a proposal: whoever calls compares what it prints with the
text, and reads the text as YAML where the two differ.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from promptflow_codegen.lock import Lock, LockedEnum, LockedField, LockedMessage

_HEAD = re.compile(r"# [^\n]*\nformat: [0-9]+\nflow: ([a-z0-9_]+)\nversion: ([0-9]{1,9})\nmessages:(?: \{\})?\n")
_WORD = r'("?)(\w+)\1'
_TEXT = r'"(?:[^"\\]|\\.)*"'
_OWNER = re.compile(r"  ([\w.]+):")
_PART = re.compile(r"    (fields|reserved|values|retired):(?: ([\[{].*[\]}]))?")
_FIELD = re.compile(
    rf"      {_WORD}: \{{number: ([0-9]{{1,9}}), type: ({_TEXT})(, required: true)?(, default: true)?"
    r"(?:, constraints: (\{.*\}))?\}"
)
_VALUE = re.compile(rf"{_WORD}: ([0-9]{{1,9}})")
_STRING_OR_NAME = re.compile(rf"{_TEXT}|\w+(?=: )")
_CODE_POINT = re.compile(r"\\(?:U([0-9a-f]{8})|(.))")


def read_printed(text: str) -> Lock | None:
    """The lock that these lines seem to be of, if it is one."""
    head = _HEAD.match(text)
    if head is None:
        return None
    try:
        messages, _, enums = text[head.end() :].rpartition("\ndigest: ")[0].partition("enums:\n")
        return Lock(head[1], int(head[2]), dict(_messages(messages)), dict(_enums(enums)))
    except (KeyError, ValueError, RecursionError):
        return None


def _messages(text: str) -> Iterator[tuple[str, LockedMessage]]:
    for name, parts in _owners(text):
        fields, reserved = (
            dict(_field(line) for line in parts.get(part, ("", []))[1]) for part in ("fields", "reserved")
        )
        yield name, LockedMessage(fields, reserved, _numbers(parts))


def _enums(text: str) -> Iterator[tuple[str, LockedEnum]]:
    for name, parts in _owners(text):
        values, reserved = (
            {found[2]: int(found[3]) for found in _VALUE.finditer(parts.get(part, ("", []))[0])}
            for part in ("values", "reserved")
        )
        yield name, LockedEnum(values, reserved, _numbers(parts))


def _owners(text: str) -> Iterator[tuple[str, dict[str, tuple[str, list[str]]]]]:
    """Each message or enum with its parts: what stands on the part's line, and the lines below it."""
    name, parts, lines = "", dict[str, tuple[str, list[str]]](), list[str]()
    for line in text.splitlines():
        if line.startswith("      "):
            lines.append(line)
        elif line.startswith("    "):
            found = _matched(_PART, line)
            lines = []
            parts[found[1]] = found[2] or "", lines
        else:
            if name:
                yield name, parts
            name, parts = _matched(_OWNER, line)[1], {}
    if name:
        yield name, parts


def _field(line: str) -> tuple[str, LockedField]:
    found = _matched(_FIELD, line)
    constraints: dict[str, Any] = _value(found[7]) if found[7] else {}
    return found[2], LockedField(int(found[3]), json.loads(found[4]), bool(found[5]), constraints, bool(found[6]))


def _numbers(parts: dict[str, tuple[str, list[str]]]) -> tuple[int, ...]:
    listed = parts.get("retired", ("", []))[0]
    return tuple(map(int, listed.strip("[]").split(", "))) if listed else ()


def _value(text: str) -> Any:
    """A value in YAML's flow style, whose names have no quotes."""
    return json.loads(_STRING_OR_NAME.sub(lambda found: _quoted(found[0]), text))


def _quoted(text: str) -> str:
    if not text.startswith('"'):
        return f'"{text}"'
    return json.dumps(_CODE_POINT.sub(lambda found: chr(int(found[1], 16)) if found[1] else found[2], text[1:-1]))


def _matched(pattern: re.Pattern[str], line: str) -> re.Match[str]:
    found = pattern.fullmatch(line)
    if found is None:
        raise ValueError(line)
    return found
