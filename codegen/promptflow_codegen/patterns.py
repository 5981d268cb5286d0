"""Patterns of inputs, tried on the engine that will enforce them: RE2 has no look-around and no back-references."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from google.protobuf.message_factory import GetMessageClass

from promptflow_codegen.check.constants import constants_of
from promptflow_codegen.checked import CheckedFlow
from promptflow_codegen.compile import compile_descriptors
from promptflow_codegen.descriptors import pool_of
from promptflow_codegen.diagnostics import Position, Report
from promptflow_codegen.rules import quoted
from promptflow_codegen.tree import ListNode, MapNode, Node, ScalarNode
from promptflow_core.types import ObjectType

MAX_PATTERNS = 100

_HINT = "patterns are RE2: no look-around, no back-references, at most 1000 repetitions"


@dataclass(frozen=True, slots=True)
class _Use:
    """The pattern of one input, and the texts of its default; or the texts that a step gives to `input_of` a flow."""

    pattern: str
    position: Position
    texts: tuple[str, ...] = ()
    default_position: Position = field(default_factory=Position)
    input_of: str = ""


def check_patterns(flows: Sequence[tuple[CheckedFlow, Report]]) -> None:
    """Report the patterns that requests could not be checked by, and defaults that do not match theirs."""
    found = [(use, report) for flow, report in flows for use in _uses(flow, report)]
    if not found:
        return
    engine = PatternEngine([use.pattern for use, _ in found])
    for use, report in found:
        reason = engine.refusal(use.pattern)
        if use.input_of:
            if not reason and not all(engine.matches(use.pattern, text) for text in use.texts):
                report.error("bad-value", use.position, f"{use.input_of} does not match `pattern`")
        elif reason:
            report.error("bad-constraint", use.position, f"`pattern` cannot be enforced: {reason}", _HINT)
        elif not all(engine.matches(use.pattern, text) for text in use.texts):
            report.error("bad-default", use.default_position, "the default does not match `pattern`")


class PatternEngine:
    """Tries patterns as protovalidate does; in time that grows with the text alone."""

    def __init__(self, patterns: Sequence[str]) -> None:
        distinct = list(dict.fromkeys(patterns))
        self._classes = dict(zip(distinct, _message_classes(distinct), strict=True))
        self._protovalidate: Any = import_module("protovalidate")
        self._refusals = {pattern: self._compile(pattern) for pattern in distinct}

    def refusal(self, pattern: str) -> str:
        """Why a pattern is refused, or ""."""
        return self._refusals[pattern]

    def matches(self, pattern: str, text: str) -> bool:
        """Whether a text would be let through."""
        message = self._classes[pattern](text=text)
        return not self._protovalidate.Validator().collect_violations(message)

    def _compile(self, pattern: str) -> str:
        try:
            self.matches(pattern, "")
        except self._protovalidate.CompilationError as error:
            return str(error).rpartition("string.pattern: ")[2]
        return ""


def _message_classes(patterns: Sequence[str]) -> Iterator[Any]:
    option = "(.buf.validate.field).string.pattern"
    messages = (
        f"message P{index} {{ optional string text = 1 [{option} = {quoted(pattern)}]; }}"
        for index, pattern in enumerate(patterns)
    )
    head = 'syntax = "proto3"; package patterns; import "buf/validate/validate.proto";'
    pool = pool_of(compile_descriptors({"patterns.proto": "\n".join([head, *messages])}).file)
    for index in range(len(patterns)):
        yield GetMessageClass(pool.FindMessageTypeByName(f"patterns.P{index}"))


def _uses(flow: CheckedFlow, report: Report) -> Sequence[_Use]:
    found = [use for declared in flow.node.inputs for use in _uses_in(declared.node)]
    if len(found) <= MAX_PATTERNS:
        return [*found, *_given(flow)]
    report.error("too-many", found[MAX_PATTERNS].position, f"a flow has at most {MAX_PATTERNS} patterns")
    return ()


def _uses_in(node: MapNode) -> Iterator[_Use]:
    entry, default, below = node.entry("pattern"), node.entry("default"), node.entry("fields")
    if entry is not None and isinstance(entry.value, ScalarNode) and entry.value.value is not None:
        texts = tuple(_texts(default.value)) if default else ()
        place = default.position if default else entry.position
        yield _Use(str(entry.value.value), entry.value.position, texts, place)
    for item in below.value.items if below is not None and isinstance(below.value, ListNode) else ():
        if isinstance(item, MapNode):
            yield from _uses_in(item)


def _given(flow: CheckedFlow) -> Iterator[_Use]:
    """What steps give, without a template, to inputs of the flows that they run."""
    for step in flow.steps:
        inputs = step.callee.inputs if step.callee is not None else ObjectType(())
        for given, node in constants_of(step.node.config, inputs):
            pattern = given.constraints.pattern
            if pattern is not None and step.callee is not None:
                what = f"`{given.name}` of flow `{step.callee.name}`"
                yield _Use(pattern, node.position, tuple(_texts(node)), input_of=what)


def _texts(node: Node) -> Iterator[str]:
    match node:
        case ScalarNode(value=str() as text):
            yield text
        case ListNode(items=items):
            for item in items:
                yield from _texts(item)
        case MapNode(entries=entries):
            for entry in entries:
                yield from _texts(entry.value)
        case ScalarNode():
            pass
