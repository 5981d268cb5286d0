"""A checked flow as messages and a service, by the rules of the contract. Numbers are the lock's to give.

A message of the contract that is the same in every flow has its numbers here; they never change.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from promptflow_codegen.build_fields import build_message
from promptflow_codegen.checked import CheckedFlow, CheckedStep
from promptflow_codegen.model import Field, Message, Method, Promise, ProtoFile, Service
from promptflow_codegen.naming import FLOWS_PACKAGE, camel, kebab, output_message, package_of, proto_path
from promptflow_codegen.plan import FlowPlan
from promptflow_codegen.presence import Presence, presence_of

MAX_BATCH = 1000
"""Requests of one BatchExecute."""

_REQUIRED = "(.buf.validate.field).required = true"
_V1 = ".promptflow_api.v1"


def build_api(flow: CheckedFlow, plan: FlowPlan, root: str = FLOWS_PACKAGE) -> ProtoFile:
    """The API of one flow, of which `plan` is the plan, below the package `root`; its own fields have no numbers."""
    return ProtoFile(
        path=proto_path(flow.name, flow.version, root),
        package=package_of(flow.name, flow.version, root),
        service=_service(flow),
        messages=tuple(_messages(flow, plan, root)),
    )


def message_of(step: CheckedStep, root: str) -> str:
    """The message of a step's output; that of a flow that a step runs is the flow's own."""
    if step.callee is not None:
        return f".{package_of(step.callee.name, step.callee.version, root)}.Result"
    return output_message(step.name, step.node.executor.text, step.output)


def _service(flow: CheckedFlow) -> Service:
    root = f"/api/v{flow.version}/{kebab(flow.name)}"
    methods = (
        Method("Execute", "ExecuteRequest", "Execution", "post", f"{root}/execute", "*"),
        Method("ExecuteStream", "ExecuteRequest", "Event", "post", f"{root}/execute/stream", "*", is_streaming=True),
        Method("Watch", "WatchRequest", "Event", "get", f"{root}/watch/{{execution_id}}", is_streaming=True),
        Method("GetStatus", "GetStatusRequest", "Execution", "get", f"{root}/status/{{execution_id}}"),
        Method("Cancel", "CancelRequest", "Execution", "post", f"{root}/cancel/{{execution_id}}", "*"),
        Method("BatchExecute", "BatchExecuteRequest", "BatchExecuteResponse", "post", f"{root}/execute/batch", "*"),
        Method("Plan", "ExecuteRequest", f"{_V1}.PlanResponse", "post", f"{root}/plan", "*"),
        Method("GetInfo", f"{_V1}.GetInfoRequest", f"{_V1}.GetInfoResponse", "get", f"{root}/info"),
        Method("CheckHealth", f"{_V1}.CheckHealthRequest", f"{_V1}.CheckHealthResponse", "get", f"{root}/health"),
    )
    return Service(f"{camel(flow.name)}Service", methods, flow.node.description)


def _messages(flow: CheckedFlow, plan: FlowPlan, root: str) -> Iterator[Message]:
    yield _execute_request(flow)
    yield from _control_requests()
    yield from _batch()
    yield _execution()
    yield _result(flow, plan, root)
    yield _steps(flow)
    yield from (_step_message(step, root) for step in flow.steps)
    yield from _output_messages(flow, root)
    yield _event()
    yield _step_output_event()
    yield _step_value(flow, root)


def _execute_request(flow: CheckedFlow) -> Message:
    places = {declared.field.name: declared.position for declared in flow.node.inputs}
    own = build_message("ExecuteRequest", flow.inputs.fields, Promise.INPUT, flow.node.name.position, places)
    mode = Field(
        "execution_mode",
        f"{_V1}.ExecutionMode.Value",
        number=1001,
        is_pinned=True,
        options=("(.buf.validate.field).enum.defined_only = true",),
    )
    options = Field("options", f"{_V1}.ExecuteOptions", number=1002, is_pinned=True)
    # What is read of objects is not looked into: their fields count as missed wherever they may be absent.
    fields = (replace(field, is_missed=field.name in flow.inputs_missed) for field in own.fields)
    return Message(own.name, (*fields, mode, options), own.messages, promise=Promise.INPUT, position=own.position)


def _control_requests() -> Iterator[Message]:
    execution_id = Field("execution_id", "string", number=1, options=(_REQUIRED,))
    after = Field("after_sequence", "int32", number=2, options=("(.buf.validate.field).int32.gte = 0",))
    mask = ".google.protobuf.FieldMask"
    yield Message("WatchRequest", (execution_id, after, Field("read_mask", mask, number=3)))
    yield Message("GetStatusRequest", (execution_id, Field("read_mask", mask, number=2)))
    yield Message("CancelRequest", (execution_id,))


def _batch() -> Iterator[Message]:
    limits = (_REQUIRED, f"(.buf.validate.field).repeated = {{min_items: 1, max_items: {MAX_BATCH}}}")
    yield Message("BatchExecuteRequest", (Field("requests", "ExecuteRequest", "repeated", 1, options=limits),))
    outcomes = Field("outcomes", "BatchOutcome", "repeated", 1, comment="in the order of the requests")
    yield Message("BatchExecuteResponse", (outcomes,))
    execution = Field("execution", "Execution", number=1, oneof="outcome")
    error = Field("error", ".google.rpc.Status", number=2, oneof="outcome")
    yield Message("BatchOutcome", (execution, error), doc="What Execute would have answered.")


def _execution() -> Message:
    fields = (
        Field("execution_id", "string", number=1),
        Field("status", f"{_V1}.ExecutionStatus.Value", number=2),
        Field("progress", f"{_V1}.Progress", number=3),
        Field("result", "Result", number=4),
        Field("steps", "Steps", number=5),
        Field("error", ".google.rpc.Status", number=6),
        Field("metadata", f"{_V1}.ExecutionMetadata", number=7),
    )
    return Message("Execution", fields)


def _result(flow: CheckedFlow, plan: FlowPlan, root: str) -> Message:
    position = flow.node.outputs_position
    if flow.outputs is not None:
        places = {output.node.name.text: output.node.name.position for output in flow.outputs}
        built = build_message("Result", flow.result.fields, Promise.RESULT, flow.node.outputs_position, places)
        return replace(built, fields=tuple(_with_presence(built.fields, plan)))
    fields = (
        Field(
            step.name,
            message_of(step, root),
            label="" if step.node.for_each is None else "repeated",
            position=step.node.name.position,
        )
        for step in flow.steps
    )
    doc = "No `outputs` in the flow: one field per step."
    there = tuple(_with_presence(fields, plan))
    return Message("Result", there, promise=Promise.RESULT, doc=doc, position=position)


def _with_presence(fields: Iterable[Field], plan: FlowPlan) -> Iterator[Field]:
    presence = presence_of(plan)
    for field in fields:
        there = presence[field.name]
        yield replace(field, is_required=there is Presence.ALWAYS, may_be_absent=there is Presence.SOMETIMES)


def _steps(flow: CheckedFlow) -> Message:
    fields = (
        Field(step.name, f"{camel(step.name)}Step", doc=step.node.description, position=step.node.name.position)
        for step in flow.steps
    )
    doc = "A view of the run, by step; outside the compatibility promise of Result."
    return Message("Steps", tuple(fields), promise=Promise.VIEW, doc=doc)


def _step_message(step: CheckedStep, root: str) -> Message:
    state = Field("state", f"{_V1}.StepState", number=1)
    output = Field("output", message_of(step, root), position=step.node.name.position)
    name = f"{camel(step.name)}Step"
    if step.node.for_each is None:
        comment = "a for_each step has `repeated Item items = 3` instead"
        single = Field("output", message_of(step, root), number=2, comment=comment, position=step.node.name.position)
        return Message(name, (state, single), promise=Promise.VIEW)
    index = Field("index", "int32", number=1)
    item_state = Field("state", f"{_V1}.StepState", number=2)
    item = Message("Item", (index, item_state, output), promise=Promise.VIEW)
    return Message(name, (state, Field("items", "Item", "repeated", 3)), (item,), promise=Promise.VIEW)


def _output_messages(flow: CheckedFlow, root: str) -> Iterator[Message]:
    """One per message name of this flow, in order of first use; a promise where the result is made of them."""
    promise = Promise.RESULT if flow.outputs is None else Promise.VIEW
    seen: set[str] = set()
    for step in flow.steps:
        name = message_of(step, root)
        if name not in seen and step.callee is None:
            seen.add(name)
            position, is_described = step.node.name.position, not step.output.name
            yield build_message(name, step.output.fields, promise, position, is_described=is_described)


def _event() -> Message:
    head = (
        Field("execution_id", "string", number=1),
        Field("sequence", "int32", number=2, comment="dense from 1; 0 in a heartbeat"),
        Field("time", ".google.protobuf.Timestamp", number=3),
        Field("progress", f"{_V1}.Progress", number=4),
    )
    arms = (
        ("accepted", "Execution", "always sequence 1"),
        ("started", "Execution", ""),
        ("step_started", f"{_V1}.StepStartedEvent", ""),
        ("step_progress", f"{_V1}.StepProgressEvent", ""),
        ("step_output", "StepOutputEvent", ""),
        ("step_completed", "StepOutputEvent", ""),
        ("step_failed", f"{_V1}.StepFailedEvent", ""),
        ("step_retrying", f"{_V1}.StepRetryingEvent", ""),
        ("step_skipped", f"{_V1}.StepSkippedEvent", ""),
        ("heartbeat", f"{_V1}.HeartbeatEvent", ""),
        ("done", "Execution", "always the last"),
    )
    numbered = (
        Field(name, kind, number=number, comment=comment, oneof="event")
        for number, (name, kind, comment) in enumerate(arms, start=16)
    )
    return Message("Event", (*head, *numbered))


def _step_output_event() -> Message:
    fields = (
        Field("step", "string", number=1),
        Field("item", "int32", "optional", 2),
        Field("attempt", "int32", number=3),
        Field("output", "StepValue", number=4),
    )
    return Message("StepOutputEvent", fields)


def _step_value(flow: CheckedFlow, root: str) -> Message:
    arms = (
        Field(step.name, message_of(step, root), oneof="of_step", position=step.node.name.position)
        for step in flow.steps
    )
    return Message("StepValue", tuple(arms), promise=Promise.VIEW)
