"""Records as the messages of a flow: runs as `Execution`, what happened to them as `Event`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from google.protobuf.descriptor import Descriptor
from google.protobuf.descriptor_pool import DescriptorPool

from promptflow_core.coercion import CoercionError
from promptflow_core.errors import ErrorRecord, FlowError, Reason
from promptflow_core.records import (
    EventKind,
    EventRecord,
    ExecutionRecord,
    ExecutionStatus,
    Progress,
    StepRecord,
    step_path,
)
from promptflow_core.values import NativeValue
from promptflow_server.services.codec import encode_message
from promptflow_server.services.contracts import FlowContract, Message
from promptflow_server.services.errors import status_of, without_unknown_details


class FlowViews:
    """Writes the messages of one flow."""

    def __init__(self, contract: FlowContract) -> None:
        self._contract = contract
        self._run_numbers = _numbers_of(contract.execution.DESCRIPTOR)
        self._step_numbers = _numbers_of(contract.pool.FindMessageTypeByName("promptflow_api.v1.StepState"))

    def execution(self, record: ExecutionRecord) -> Message:
        """A run as it stands; every step of the flow has its place in `steps`."""
        message = self._contract.execution()
        self._put_execution(record, message)
        return message

    def event(self, event: EventRecord, run: ExecutionRecord) -> Message:
        """An event of `run`; accepted and started show the run as it was then, done shows it as it is."""
        message = self._contract.event(execution_id=event.execution_id, sequence=event.sequence)
        _put_time(message.time, event.time_ms)
        put_progress(event.progress, message.progress)
        match event.kind:
            case EventKind.ACCEPTED:
                self._put_execution(_as_accepted(run, event), message.accepted)
            case EventKind.STARTED:
                self._put_execution(_as_started(run, event), message.started)
            case EventKind.DONE:
                self._put_execution(run, message.done)
            case EventKind.HEARTBEAT:
                message.heartbeat.SetInParent()
            case _:
                self._put_step_event(event, getattr(message, event.kind))
        return message

    def _put_execution(self, record: ExecutionRecord, target: Message) -> None:
        target.execution_id, target.status = record.execution_id, self._run_numbers[record.status]
        put_progress(record.progress, target.progress)
        if record.result is not None:
            target.result.SetInParent()
            _encode(record.result, target.result, "result")
        self._put_steps(record, target.steps)
        if record.error is not None:
            self._put_error(record.error, target.error)
        put_metadata(record, target.metadata)

    def _put_step_event(self, event: EventRecord, target: Message) -> None:
        target.step = event.step
        if event.item is not None:
            target.item = event.item
        match event.kind:
            case EventKind.STEP_PROGRESS:
                target.percentage, target.message = event.percentage, event.message
            case EventKind.STEP_SKIPPED:
                target.reason = event.reason
            case _:
                target.attempt = event.attempt
        if event.error is not None:
            self._put_error(event.error, target.error)
        if event.kind is EventKind.STEP_RETRYING:
            target.delay.FromMilliseconds(event.delay_ms)
        # A run whose bundle is nowhere any more may tell of steps that this contract does not have.
        if event.output is not None and event.step in target.output.DESCRIPTOR.fields_by_name:
            output = getattr(target.output, event.step)
            output.SetInParent()
            _encode(event.output, output, event.step)

    def _put_steps(self, record: ExecutionRecord, target: Message) -> None:
        items = _items_by_step(record.steps)
        for plan in self._contract.plan.steps:
            step = record.steps.get(step_path(plan.name), StepRecord(plan.name))
            view = getattr(target, plan.name)
            self._put_state(step, view.state)
            if plan.for_each is None:
                _put_output(step, view)
                continue
            for index, item in items.get(plan.name, ()):
                place = view.items.add(index=index)
                self._put_state(item, place.state)
                _put_output(item, place)

    def _put_state(self, step: StepRecord, target: Message) -> None:
        target.status = self._step_numbers[step.status]
        target.attempts, target.worker = step.attempt, step.worker
        _put_time(target.started_at, step.started_at_ms)
        _put_time(target.finished_at, step.finished_at_ms)
        if step.error is not None:
            self._put_error(step.error, target.error)

    def _put_error(self, error: ErrorRecord, target: Message) -> None:
        put_error(error, target, self._contract.pool)


def put_error(error: ErrorRecord, target: Message, pool: DescriptorPool) -> None:
    """Fill a google.rpc.Status of `pool`."""
    status = without_unknown_details(status_of(error), pool)
    target.MergeFromString(status.SerializeToString())


def put_progress(progress: Progress, target: Message) -> None:
    """Fill a Progress."""
    target.percentage, target.current_step = progress.percentage, progress.current_step
    target.running_steps.extend(progress.running_steps)
    target.SetInParent()


def put_metadata(record: ExecutionRecord, target: Message) -> None:
    """Fill the ExecutionMetadata of a run."""
    _put_time(target.created_at, record.created_at_ms)
    _put_time(target.started_at, record.started_at_ms)
    _put_time(target.finished_at, record.finished_at_ms)
    target.server, target.bundle_digest = record.server, record.bundle_digest
    for key, value in record.labels.items():
        target.labels[key] = value


def _as_accepted(run: ExecutionRecord, event: EventRecord) -> ExecutionRecord:
    before = replace(run, status=ExecutionStatus.QUEUED, sequence=event.sequence, steps={}, result=None, error=None)
    return replace(before, progress=event.progress, started_at_ms=0, finished_at_ms=0, server="")


def _as_started(run: ExecutionRecord, event: EventRecord) -> ExecutionRecord:
    return replace(_as_accepted(run, event), status=ExecutionStatus.RUNNING, started_at_ms=event.time_ms)


def _items_by_step(steps: Mapping[str, StepRecord]) -> Mapping[str, Iterable[tuple[int, StepRecord]]]:
    """The items of the flow's own steps; what is inside a flow that a step runs is no part of the view."""
    items: dict[str, list[tuple[int, StepRecord]]] = {}
    for path, record in steps.items():
        step, _, index = path.partition("/")
        if index.isdigit():
            items.setdefault(step, []).append((int(index), record))
    return {step: sorted(found, key=lambda item: item[0]) for step, found in items.items()}


def _put_output(step: StepRecord, target: Message) -> None:
    if step.output is not None:
        target.output.SetInParent()
        _encode(step.output, target.output, step.path)


def _encode(values: Mapping[str, NativeValue], target: Message, path: str) -> None:
    try:
        encode_message(values, target, path)
    except CoercionError as error:
        raise FlowError(Reason.OUTPUT_INVALID, f"`{error.path}` cannot be sent: {error.message}") from None


def _put_time(target: Message, time_ms: int) -> None:
    if time_ms:
        target.FromMilliseconds(time_ms)


def _numbers_of(message: Descriptor) -> Mapping[str, int]:
    """The values of the enum that a message has as its `status`."""
    enum = message.fields_by_name["status"].enum_type
    assert enum is not None
    return {value.name: value.number for value in enum.values}
