"""Keys of a mapping, read with the type that they must have; what does not fit goes to the report."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from promptflow_codegen.diagnostics import Position, Report
from promptflow_codegen.nodes import Word
from promptflow_codegen.template_syntax import nearest
from promptflow_codegen.tree import Entry, ListNode, MapNode, Node, ScalarNode, shape_of
from promptflow_core.coercion import parse_duration
from promptflow_core.type_syntax import FIELD_NAME

MAX_NAME = 64
MAX_TIMEOUT_MS = 30 * 24 * 3600 * 1000


@dataclass(frozen=True, slots=True)
class Keys:
    """Access to one mapping; `what` names it to people: "step `ocr`"."""

    node: MapNode
    what: str
    report: Report

    def check_known(self, known: Collection[str], planned: Collection[str] = ()) -> None:
        """Report keys that nobody reads, and those of `planned`, which this release does not run."""
        for entry in self.node.entries:
            if entry.key in planned:
                message = f"`{entry.key}` belongs to the flow language, but this release does not run it"
                self.report.error("not-supported-yet", entry.position, message, f"remove `{entry.key}`")
            elif entry.key not in known:
                close = nearest(entry.key, [*known, *planned])
                hint = f"did you mean `{close}`?" if close else f"keys are {', '.join(known)}"
                self.report.error("unknown-key", entry.position, f"unknown key `{entry.key}` in {self.what}", hint)

    def required(self, key: str) -> Entry | None:
        """The entry of a key that must be there, with a value."""
        entry = self.node.entry(key)
        if entry is None or _is_nothing(entry.value):
            position = entry.position if entry else self.node.position
            self.report.error("missing-key", position, f"{self.what} has no `{key}`", f"add `{key}: …`")
            return None
        return entry

    def optional(self, key: str) -> Entry | None:
        """The entry of a key; none where it has no value."""
        entry = self.node.entry(key)
        return None if entry is None or _is_nothing(entry.value) else entry

    def name(self, key: str = "name") -> Word | None:
        """A required lower_snake_case name."""
        entry = self.required(key)
        return None if entry is None else name_of(entry.value, self.report)

    def text(self, key: str) -> str:
        """An optional text; "" where there is none."""
        entry = self.optional(key)
        if entry is None:
            return ""
        scalar = self.scalar_text(entry)
        return "" if scalar is None else str(scalar.value)

    def scalar_text(self, entry: Entry) -> ScalarNode | None:
        """The value of an entry as a text."""
        if isinstance(entry.value, ScalarNode) and isinstance(entry.value.value, str):
            return entry.value
        self._wrong(entry, "a text")
        return None

    def boolean(self, key: str) -> bool:
        """An optional `true` or `false`; false where it is not there."""
        entry = self.optional(key)
        value = entry.value.value if entry is not None and isinstance(entry.value, ScalarNode) else None
        if entry is not None and not isinstance(value, bool):
            self._wrong(entry, "true or false")
        return value is True

    def integer(self, key: str, default: int, allowed: range) -> int:
        """An optional whole number within bounds."""
        entry = self.optional(key)
        if entry is None:
            return default
        match entry.value:
            case ScalarNode(value=int() as number) if not isinstance(number, bool):
                if number in allowed:
                    return number
                message = f"`{key}` is {number}; it goes from {allowed.start} to {allowed.stop - 1}"
                hint = f"write `{key}: {default if default in allowed else allowed.start}`, or another one within"
                self.report.error("bad-value", entry.value.position, message[:200], hint)
            case _:
                self._wrong(entry, "a whole number")
        return default

    def number(self, key: str, default: float, low: float, high: float) -> float:
        """An optional number within bounds."""
        entry = self.optional(key)
        if entry is None:
            return default
        match entry.value:
            case ScalarNode(value=int() | float() as number) if not isinstance(number, bool):
                if low <= number <= high:
                    return float(number)
                self.report.error("bad-value", entry.value.position, f"`{key}` goes from {low:g} to {high:g}")
            case _:
                self._wrong(entry, "a number")
        return default

    def duration_ms(self, key: str) -> int | None:
        """An optional duration such as `30s`, longer than nothing."""
        entry = self.optional(key)
        if entry is None:
            return None
        value = entry.value.value if isinstance(entry.value, ScalarNode) else None
        try:
            milliseconds = round(parse_duration(value).total_seconds() * 1000) if isinstance(value, str) else 0
        except (ValueError, OverflowError):
            milliseconds = 0
        if 0 < milliseconds <= MAX_TIMEOUT_MS:
            return milliseconds
        message = f"`{key}` is no duration between 1ms and 30d"
        self.report.error("bad-duration", entry.value.position, message, "write `250ms`, `30s`, `2m`, `1h` or `1d`")
        return None

    def mapping(self, key: str) -> MapNode | None:
        """An optional mapping."""
        entry = self.optional(key)
        if entry is None or isinstance(entry.value, MapNode):
            return entry.value if entry else None  # type: ignore[return-value]
        self._wrong(entry, "a mapping")
        return None

    def list(self, key: str) -> Sequence[Node]:
        """An optional list; empty where there is none."""
        entry = self.optional(key)
        if entry is None:
            return ()
        if isinstance(entry.value, ListNode):
            return entry.value.items
        self._wrong(entry, "a list")
        return ()

    def _wrong(self, entry: Entry, wanted: str) -> None:
        message = f"`{entry.key}` of {self.what} is {shape_of(entry.value)}, not {wanted}"
        self.report.error("wrong-shape", entry.value.position, message)


def name_of(node: Node, report: Report) -> Word | None:
    """A node as a lower_snake_case name."""
    value = node.value if isinstance(node, ScalarNode) else None
    if isinstance(value, str) and check_name(value, node.position, report):
        return Word(value, node.position)
    if isinstance(value, str):
        return None
    message, hint = f"a name is a word, not {shape_of(node)}", ""
    if isinstance(node, ScalarNode) and value is not None:
        message = f"`{node.written}` is {shape_of(node)} in YAML, not a name"
        hint = f'write `"{node.written}"`' if FIELD_NAME.fullmatch(node.written) else "write a lower_snake_case word"
    report.error("bad-name", node.position, message, hint)
    return None


def check_name(name: str, position: Position, report: Report) -> bool:
    """Whether messages, paths and clients can carry `name`."""
    if FIELD_NAME.fullmatch(name) and len(name) <= MAX_NAME:
        return True
    hint = f"names are lower_snake_case with a letter after each `_`, at most {MAX_NAME} characters long"
    report.error("bad-name", position, f"`{name[:80]}` is not a name", hint)
    return False


def _is_nothing(node: Node) -> bool:
    return isinstance(node, ScalarNode) and node.value is None
