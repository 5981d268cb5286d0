"""An old client and a newer server: messages of a later release of contract and flow, read by this one."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from tests.unit.clients.sample import PACKAGE, Sample

from promptflow_client import Contract, Done, ExecutionStatus, StepCompleted, StepStarted, StepStatus

Later = Any
"""A message class of the later release, by its name."""


@pytest.fixture
def contract(sample: Sample) -> Contract[Any, Any, Any]:
    """What this client knows."""
    file: FileDescriptor = sample.messages.DESCRIPTOR
    return Contract(file, sample.client.Result, sample.client.Steps)


@pytest.fixture
def later(messages: Any) -> Later:
    """The messages of a release that adds to all that may grow: statuses, kinds of events, steps, fields, values."""
    pool = DescriptorPool()
    _add(messages.DESCRIPTOR, pool, set())
    return lambda name: GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{name}"))


def _add(file: Any, pool: DescriptorPool, done: set[str]) -> None:
    if file.name in done:
        return
    done.add(file.name)
    for dependency in file.dependencies:
        _add(dependency, pool, done)
    proto = FileDescriptorProto.FromString(file.serialized_pb)
    if file.name.endswith("/execution.proto"):
        for name in ("ExecutionStatus", "StepStatus"):
            _message(proto, name).enum_type[0].value.add(name="PAUSED", number=99)
    if file.package == PACKAGE:
        _grow(proto)
    pool.AddSerializedFile(proto.SerializeToString())


def _grow(proto: FileDescriptorProto) -> None:
    event = _message(proto, "Event")
    kind = event.field.add(
        name="step_called", number=27, label=1, type=11, type_name=".promptflow_api.v1.StepStartedEvent"
    )
    kind.oneof_index = 0
    _field(event, "region", 90)
    call_step: Any = proto.message_type.add(name="CallStep")
    call_step.field.add(name="state", number=1, label=1, type=11, type_name=".promptflow_api.v1.StepState")
    _message(proto, "Steps").field.add(name="call", number=90, label=1, type=11, type_name=f".{PACKAGE}.CallStep")
    arm = _message(proto, "StepValue").field.add(
        name="call", number=90, label=1, type=11, type_name=f".{PACKAGE}.Result"
    )
    arm.oneof_index = 0
    echo = _message(proto, "EchoOutput")
    _field(echo, "mood", 90)
    (color,) = (nested for nested in echo.nested_type if nested.name == "Color")
    color.enum_type[0].value.add(name="purple", number=99)


def _message(proto: FileDescriptorProto, name: str) -> Any:
    return next(message for message in proto.message_type if message.name == name)


def _field(message: Any, name: str, number: int) -> None:
    message.field.add(name=name, number=number, label=1, type=9)


def received(sample: Sample, name: str, message: Any) -> Any:
    """A message of the later release as it comes out of the wire here."""
    return getattr(sample.messages, name).FromString(message.SerializeToString())


def test_a_kind_of_event_that_is_not_known_is_passed_over(
    sample: Sample, contract: Contract[Any, Any, Any], later: Later
) -> None:
    event = later("Event")(execution_id="x", sequence=7, region="eu")
    event.step_called.step = "call"
    assert contract.event(received(sample, "Event", event)) is None


def test_steps_inside_a_step_are_named_by_their_path(
    sample: Sample, contract: Contract[Any, Any, Any], later: Later
) -> None:
    event = later("Event")(execution_id="x", sequence=7)
    event.step_started.step = "call/inner"
    found = contract.event(received(sample, "Event", event))
    assert isinstance(found, StepStarted)
    assert (found.step, found.sequence) == ("call/inner", 7)


def test_the_output_of_a_step_that_is_not_known_is_none(
    sample: Sample, contract: Contract[Any, Any, Any], later: Later
) -> None:
    event = later("Event")(execution_id="x", sequence=7)
    event.step_completed.step = "call"
    event.step_completed.output.call.echo.text = "inside"
    found = contract.event(received(sample, "Event", event))
    assert isinstance(found, StepCompleted)
    assert (found.step, found.output) == ("call", None)


def test_a_status_that_is_not_known_is_unspecified_and_not_the_end(
    sample: Sample, contract: Contract[Any, Any, Any], later: Later
) -> None:
    execution = later("Execution")(execution_id="x", status=99)
    execution.steps.echo.state.status = 99
    execution.steps.call.state.status = 99
    found = contract.execution(received(sample, "Execution", execution))
    assert (found.status, found.status.is_terminal) == (ExecutionStatus.UNSPECIFIED, False)
    assert found.steps.echo.state.status is StepStatus.UNSPECIFIED
    assert found.error is None


def test_new_fields_and_values_leave_the_known_ones_as_they_are(
    sample: Sample, contract: Contract[Any, Any, Any], later: Later
) -> None:
    event = later("Event")(execution_id="x", sequence=9)
    event.done.status = 3
    echo = event.done.result.echo
    echo.text, echo.mood, echo.color = "hi", "glad", 99
    found = contract.event(received(sample, "Event", event))
    assert isinstance(found, Done)
    assert found.execution.result is not None
    assert (found.execution.result.echo.text, found.execution.result.echo.color) == ("hi", "99")
