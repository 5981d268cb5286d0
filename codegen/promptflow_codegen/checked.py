"""A flow that holds together: what `check` found out about it, on which everything generated is built."""

from __future__ import annotations

from dataclasses import dataclass

from promptflow_codegen.nodes import FlowNode, OutputNode, StepNode
from promptflow_core.executor import ExecutorSpec
from promptflow_core.types import FieldType, ListType, ObjectType, ValueType


@dataclass(frozen=True, slots=True)
class CheckedStep:
    """One step with its executor, or with the flow that it runs. `needs` is in the order of the file, once each."""

    node: StepNode
    work: ExecutorSpec | CheckedFlow
    output: ObjectType
    needs: tuple[str, ...]

    @property
    def name(self) -> str:
        """The step's name."""
        return self.node.name.text

    @property
    def callee(self) -> CheckedFlow | None:
        """The flow that the step runs, if it runs one."""
        return self.work if isinstance(self.work, CheckedFlow) else None

    @property
    def spec(self) -> ExecutorSpec | None:
        """The executor, unless the step runs a flow."""
        return self.work if isinstance(self.work, ExecutorSpec) else None

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
    """One flow. `steps` are as in the file, `order` respects what they need.

    `inputs_missed` are those that may not be sent though a template reads them as if they were.
    """

    node: FlowNode
    inputs: ObjectType
    steps: tuple[CheckedStep, ...]
    order: tuple[str, ...]
    outputs: tuple[CheckedOutput, ...] | None
    inputs_missed: frozenset[str] = frozenset()

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
            FieldType(
                output.node.name.text,
                output.type,
                description=output.node.description,
                deprecated=output.node.is_deprecated,
            )
            for output in self.outputs
        )
        return ObjectType(tuple(fields))
