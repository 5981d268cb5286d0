"""A flow as its file spells it: read, each part with its place, not yet checked against anything else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from promptflow_codegen.diagnostics import Position
from promptflow_codegen.plan import NO_RETRY, FlowRef
from promptflow_codegen.tree import MapNode, Node, ScalarNode
from promptflow_core.retry import RetryPolicy
from promptflow_core.types import FieldType, ValueType


@dataclass(frozen=True, slots=True)
class Word:
    """A name and where it stands."""

    text: str
    position: Position


@dataclass(frozen=True, slots=True)
class InputNode:
    """One input. `node` is the mapping that declares it."""

    field: FieldType
    position: Position
    node: MapNode


@dataclass(frozen=True, slots=True)
class CalleeNode:
    """The flow that a step runs, and where it is named."""

    ref: FlowRef
    position: Position


@dataclass(frozen=True, slots=True)
class StepNode:
    """One step. `executor.text` is "" where it runs a flow, or where the file names neither, which is reported."""

    name: Word
    executor: Word
    config: MapNode
    needs: tuple[Word, ...] = ()
    condition: ScalarNode | None = None
    for_each: ScalarNode | None = None
    item: Word | None = None
    max_parallel: int = 0
    retry: RetryPolicy = NO_RETRY
    timeout_ms: int | None = None
    description: str = ""
    callee: CalleeNode | None = None


@dataclass(frozen=True, slots=True)
class OutputNode:
    """One field of the result; `type` None is to be inferred from `value`."""

    name: Word
    value: Node
    type: ValueType | None = None
    description: str = ""
    is_deprecated: bool = False


@dataclass(frozen=True, slots=True)
class FlowNode:
    """One flow file. `outputs` None: the result has one field per step."""

    file: str
    name: Word
    inputs: tuple[InputNode, ...]
    steps: tuple[StepNode, ...]
    version: int = 1
    description: str = ""
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    outputs: tuple[OutputNode, ...] | None = None
    outputs_position: Position = field(default_factory=Position)
    is_sequential: bool = False
    timeout_ms: int | None = None
