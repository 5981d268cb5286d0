"""A flow that holds together: what `check` found out about it, on which everything generated is built."""

from __future__ import annotations

from dataclasses import dataclass

from promptflow_codegen.nodes import FlowNode, OutputNode, StepNode
from promptflow_core.executor import ExecutorSpec
from promptflow_core.types import FieldType, ListType, ObjectType, ValueType


@dataclass(frozen=True, slots=True)
class CheckedStep:
    """One step with its executor. `needs` is in the order of the file, without repetition."""

    node: StepNode
    spec: ExecutorSpec
    output: ObjectType
    needs: tuple[str, ...]

    @property
    def name(self) -> str:
        """The step's name."""
        return self.node.name.text

    @property
    def result_type(self) -> ValueType:
        """What `steps.<name>` is in templates and in a result without `outputs`."""
        return self.output if self.node.for_each is None else ListType(self.output)


@dataclass(frozen=True, slots=True)
class CheckedOutput:
    """One field of the result with its type."""

    node: OutputNode
    type: ValueType


@dataclass(frozen=True, slots=True)
class CheckedFlow:
    """One flow. `steps` are as in the file, `order` respects what they need."""

    node: FlowNode
    inputs: ObjectType
    steps: tuple[CheckedStep, ...]
    order: tuple[str, ...]
    outputs: tuple[CheckedOutput, ...] | None

    @property
    def name(self) -> str:
        """The flow's name."""
        return self.node.name.text

    @property
    def version(self) -> int:
        """The major version."""
        return self.node.version

    @property
    def result(self) -> ObjectType:
        """The fields of the result: the outputs, or one per step."""
        if self.outputs is None:
            return ObjectType(tuple(FieldType(step.name, step.result_type) for step in self.steps))
        fields = (
            FieldType(output.node.name.text, output.type, description=output.node.description)
            for output in self.outputs
        )
        return ObjectType(tuple(fields))
