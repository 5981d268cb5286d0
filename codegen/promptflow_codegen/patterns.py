"""Patterns of inputs, tried on the engine that will enforce them: RE2 has no look-around and no back-references."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any

from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

from promptflow_codegen.checked import CheckedFlow
from promptflow_codegen.compile import compile_descriptors
from promptflow_codegen.diagnostics import Position, Report
from promptflow_codegen.rules import quoted
from promptflow_codegen.tree import ListNode, MapNode, ScalarNode

_HINT = "patterns are RE2: no look-around, no back-references, at most 1000 repetitions"


def check_patterns(flows: Sequence[tuple[CheckedFlow, Report]]) -> None:
    """Report the patterns that requests could not be checked by."""
    found = [(report, *place) for flow, report in flows for place in _patterns(flow)]
    if not found:
        return
    reasons = refused_patterns([pattern for _, pattern, _ in found])
    for report, pattern, position in found:
        if pattern in reasons:
            report.error("bad-constraint", position, f"`pattern` cannot be enforced: {reasons[pattern]}", _HINT)


def refused_patterns(patterns: Sequence[str]) -> Mapping[str, str]:
    """Which of `patterns` are refused, and why."""
    distinct = list(dict.fromkeys(patterns))
    option = "(.buf.validate.field).string.pattern"
    messages = (
        f"message P{index} {{ optional string text = 1 [{option} = {quoted(pattern)}]; }}"
        for index, pattern in enumerate(distinct)
    )
    head = 'syntax = "proto3"; package patterns; import "buf/validate/validate.proto";'
    files = compile_descriptors({"patterns.proto": "\n".join([head, *messages])})
    pool = DescriptorPool()
    for file in files.file:
        pool.AddSerializedFile(file.SerializeToString())
    refused: dict[str, str] = {}
    for index, pattern in enumerate(distinct):
        reason = _try(GetMessageClass(pool.FindMessageTypeByName(f"patterns.P{index}"))())
        if reason:
            refused[pattern] = reason
    return refused


def _try(message: Any) -> str:
    protovalidate: Any = import_module("protovalidate")
    try:
        protovalidate.Validator().collect_violations(message)
    except protovalidate.CompilationError as error:
        return str(error).rpartition("string.pattern: ")[2]
    return ""


def _patterns(flow: CheckedFlow) -> Iterator[tuple[str, Position]]:
    for declared in flow.node.inputs:
        yield from _patterns_in(declared.node)


def _patterns_in(node: MapNode) -> Iterator[tuple[str, Position]]:
    entry = node.entry("pattern")
    if entry is not None and isinstance(entry.value, ScalarNode) and entry.value.value is not None:
        yield str(entry.value.value), entry.value.position
    below = node.entry("fields")
    for item in below.value.items if below is not None and isinstance(below.value, ListNode) else ():
        if isinstance(item, MapNode):
            yield from _patterns_in(item)
