"""What the messages of one flow mean: its methods, and its executions and events as Python values."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from typing import Any, Generic, TypeVar

from google.protobuf.descriptor import FileDescriptor

from promptflow_client import events
from promptflow_client.connection import MessageT, Method
from promptflow_client.decoding import Decoder, decode_duration
from promptflow_client.encoding import wire_name
from promptflow_client.errors import CancelledError, PromptFlowError, Reason, UnknownError, error_of_status
from promptflow_client.executions import (
    Execution,
    ExecutionStatus,
    ForEachStep,
    Item,
    Step,
    StepState,
)
from promptflow_client.states import has_failed, read_metadata, read_progress, read_state, read_status, read_time

ResultT = TypeVar("ResultT")
StepsT = TypeVar("StepsT")
OutputT = TypeVar("OutputT")


class Contract(Generic[ResultT, StepsT, OutputT]):
    """One flow's service, as the generated descriptor has it, and the dataclasses that stand for its messages.

    Each field of `steps` is a `Step` or a `ForEachStep` of that step's output class.
    """

    def __init__(self, file: FileDescriptor, result: type[ResultT], steps: type[StepsT]) -> None:
        (service,) = file.services_by_name.values()
        # Packages of flows end so, whatever their root.
        *_, self.flow, version = file.package.split(".")
        self.version = int(version.removeprefix("v"))
        self.methods: Mapping[str, Method] = {method.name: Method.of(method) for method in service.methods}
        self._result = result
        self._steps = steps
        self._decoder = Decoder()
        hints = typing.get_type_hints(steps)
        self._step_fields = [
            (field.name, typing.get_origin(hints[field.name]), typing.get_args(hints[field.name])[0])
            for field in dataclasses.fields(typing.cast("Any", steps))
        ]

    def execution(self, message: MessageT) -> Execution[ResultT, StepsT]:
        """Read an `Execution`."""
        result = self._decoder.decode(message.result, self._result) if message.HasField("result") else None
        return Execution(
            execution_id=message.execution_id,
            status=read_status(message, "status", ExecutionStatus),
            progress=read_progress(message.progress),
            result=result,
            steps=self._read_steps(message.steps),
            error=self.error(message),
            metadata=read_metadata(message.metadata),
        )

    def result(self, execution: MessageT) -> ResultT:
        """The result of an `Execution` that has ended.

        Raises:
            PromptFlowError: it ended otherwise than COMPLETED.
        """
        error = self.error(execution)
        if error is not None:
            raise error
        return self._decoder.decode(execution.result, self._result)

    def outcome(self, outcome: MessageT) -> ResultT | PromptFlowError:
        """What became of one request of a batch."""
        match outcome.WhichOneof("outcome"):
            case "execution":
                error = self.error(outcome.execution)
                return error or self._decoder.decode(outcome.execution.result, self._result)
            case "error":
                return error_of_status(outcome.error)
            case _:
                return UnknownError("the server does not say what became of the run")

    def error(self, execution: MessageT) -> PromptFlowError | None:
        """Why an `Execution` did not complete; it names the run and the step, so that both can be found."""
        status = read_status(execution, "status", ExecutionStatus)
        if execution.HasField("error"):
            error = error_of_status(execution.error)
        elif status is ExecutionStatus.CANCELLED:
            error = CancelledError("the run was cancelled", reason=Reason.EXECUTION_CANCELLED)
        elif status is ExecutionStatus.FAILED:
            error = UnknownError("the run failed and the server does not say why")
        else:
            return None
        error.metadata.setdefault("execution_id", execution.execution_id)
        failed = [name for name in self._step_names(execution.steps) if has_failed(getattr(execution.steps, name))]
        if failed:
            error.metadata.setdefault("step", failed[0])
        return error

    def event(self, message: MessageT) -> events.Event[Execution[ResultT, StepsT], OutputT] | None:
        """Read an `Event`; None for a heartbeat and for kinds that this release does not know."""
        kind = message.WhichOneof("event")
        if kind is None or kind == "heartbeat":
            return None
        content = getattr(message, kind)
        common: dict[str, Any] = {
            "execution_id": message.execution_id,
            "sequence": message.sequence,
            "time": read_time(message, "time"),
            "progress": read_progress(message.progress),
        }
        if kind in _OF_RUN:
            of_run: events.Event[Execution[ResultT, StepsT], OutputT]
            of_run = _OF_RUN[kind](**common, execution=self.execution(content))
            return of_run
        if kind not in _OF_STEP:
            return None
        cls, names = _OF_STEP[kind]
        common |= {name: self._detail(content, name) for name in names}
        item = content.item if content.HasField("item") else None
        of_step: events.Event[Execution[ResultT, StepsT], OutputT] = cls(**common, step=content.step, item=item)
        return of_step

    def _detail(self, content: MessageT, name: str) -> Any:
        match name:
            case "output":
                return self._step_value(content.output)
            case "error":
                return error_of_status(content.error)
            case "delay":
                return decode_duration(content.delay)
            case _:
                return getattr(content, name)

    def _step_value(self, value: MessageT) -> Any:
        arm = value.WhichOneof("of_step")
        for name, (_, _, output) in zip(self._step_names(value), self._step_fields, strict=True):
            if name == arm:
                return self._decoder.decode(getattr(value, name), output)
        return None

    def _step_names(self, message: MessageT) -> list[str]:
        return [wire_name(attribute, message.DESCRIPTOR.fields_by_name) for attribute, _, _ in self._step_fields]

    def _read_steps(self, message: MessageT) -> StepsT:
        steps: dict[str, Any] = {}
        for name, (attribute, kind, output) in zip(self._step_names(message), self._step_fields, strict=True):
            step = getattr(message, name)
            if kind is ForEachStep:
                items = (Item(item.index, *self._outcome(item, output)) for item in step.items)
                steps[attribute] = ForEachStep(read_state(step), tuple(items))
            else:
                steps[attribute] = Step(*self._outcome(step, output))
        return self._steps(**steps)

    def _outcome(self, step: MessageT, output: type[OutputT]) -> tuple[StepState, OutputT | None]:
        return read_state(step), self._decoder.decode(step.output, output) if step.HasField("output") else None


_OF_RUN: Mapping[str, Any] = {"accepted": events.Accepted, "started": events.Started, "done": events.Done}
_OF_STEP: Mapping[str, tuple[Any, tuple[str, ...]]] = {
    "step_started": (events.StepStarted, ("attempt",)),
    "step_progress": (events.StepProgress, ("percentage", "message")),
    "step_output": (events.StepOutput, ("attempt", "output")),
    "step_completed": (events.StepCompleted, ("attempt", "output")),
    "step_failed": (events.StepFailed, ("attempt", "error")),
    "step_retrying": (events.StepRetrying, ("attempt", "delay", "error")),
    "step_skipped": (events.StepSkipped, ("reason",)),
}
