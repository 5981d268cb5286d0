"""Executions and events of a run as Python values."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import FileDescriptor
from tests.unit.clients.sample import Sample
from tests.unit.clients.scripted import RUN, Fail, Message, Story, retry_info

from promptflow_client import (
    Accepted,
    Contract,
    Done,
    ExecutionStatus,
    ForEachStep,
    InternalError,
    Progress,
    Started,
    Step,
    StepCompleted,
    StepFailed,
    StepOutput,
    StepProgress,
    StepRetrying,
    StepSkipped,
    StepStarted,
    StepStatus,
)


@pytest.fixture
def contract(sample: Sample) -> Contract[Any, Any, Any]:
    file: FileDescriptor = sample.messages.DESCRIPTOR
    return Contract(file, sample.client.Result, sample.client.Steps)


def failure() -> Message:
    """What a step fails with."""
    return Fail(grpc.StatusCode.INTERNAL, "broken", "EXECUTOR_FAILED").status()


def test_each_kind_of_event_has_a_class_of_its_own(contract: Contract[Any, Any, Any], story: Story) -> None:
    output = story.value("x")
    told = [
        (Accepted, story.event(1, "accepted", status=1)),
        (Started, story.event(2, "started", status=2)),
        (StepStarted, story.event(3, "step_started", step="echo", attempt=1)),
        (StepProgress, story.event(0, "step_progress", step="each", item=2, percentage=50.0, message="half")),
        (StepOutput, story.event(4, "step_output", step="echo", attempt=1, output=output)),
        (StepFailed, story.event(5, "step_failed", step="echo", attempt=1, error=failure())),
        (StepRetrying, story.event(6, "step_retrying", step="echo", attempt=2, error=failure())),
        (StepSkipped, story.event(7, "step_skipped", step="maybe", reason="condition")),
        (StepCompleted, story.event(8, "step_completed", step="echo", attempt=1, output=output)),
        (Done, story.event(9, "done", status=3)),
    ]
    assert [type(contract.event(message)) for _, message in told] == [kind for kind, _ in told]
    assert contract.event(story.event(0, "heartbeat")) is None
    assert contract.event(story.messages.Event(sequence=3)) is None


def test_an_event_of_a_step_says_all_that_was_sent(contract: Contract[Any, Any, Any], story: Story) -> None:
    message = story.event(6, "step_retrying", step="each", item=0, attempt=2, error=failure())
    message.step_retrying.delay.FromMilliseconds(1500)
    message.progress.percentage, message.progress.current_step = 40.0, "each"
    message.progress.running_steps.append("each")
    event = contract.event(message)
    assert isinstance(event, StepRetrying)
    assert (event.execution_id, event.sequence, event.step, event.item, event.attempt) == (RUN, 6, "each", 0, 2)
    assert event.time == datetime.fromtimestamp(1_700_000_006, UTC)
    assert event.progress == Progress(40.0, "each", ("each",))
    assert event.delay == timedelta(seconds=1.5)
    assert isinstance(event.error, InternalError)
    assert event.error.reason == "EXECUTOR_FAILED"


def test_outputs_of_steps_are_of_the_steps_class(
    contract: Contract[Any, Any, Any], sample: Sample, story: Story
) -> None:
    value = sample.messages.StepValue()
    value.each.str = "words"
    value.each.words.add(text="a", left=3)
    events = [contract.event(story.event(1, "step_completed", step="each", output=value))]
    events.append(contract.event(story.event(2, "step_completed", step="echo", output=story.value("x"))))
    events.append(contract.event(story.event(3, "step_completed", step="each", attempt=1)))
    words, echo, nothing = [event.output for event in events if isinstance(event, StepCompleted)]
    client = sample.client
    assert words == client.WordsOutput(str_="words", words=(client.WordsOutputWords(text="a", left=3),))
    assert isinstance(echo, client.EchoOutput)
    assert echo.text == "x"
    assert nothing is None


def full_execution(story: Story) -> Message:
    """A run in which a step was skipped and an item failed."""
    execution = story.execution("FAILED", "done")
    execution.result.each.add(str="w")
    execution.error.CopyFrom(Fail(grpc.StatusCode.INTERNAL, "broken", details=(retry_info(timedelta(0)),)).status())
    execution.steps.echo.state.status = 5
    execution.steps.echo.state.worker = "w1"
    execution.steps.echo.state.attempts = 2
    execution.steps.echo.state.started_at.FromSeconds(10)
    execution.steps.echo.output.text = "done"
    execution.steps.each.state.status = 6
    execution.steps.each.items.add(index=0).output.str = "w"
    execution.steps.each.items[0].state.status = 5
    execution.steps.each.items.add(index=1).state.error.CopyFrom(failure())
    execution.steps.each.items[1].state.status = 6
    execution.steps.maybe.state.status = 7
    execution.metadata.created_at.FromSeconds(9)
    execution.metadata.labels["team"] = "a"
    execution.metadata.bundle_digest = "d1"
    return execution


def test_an_execution_says_all_that_was_sent(contract: Contract[Any, Any, Any], sample: Sample, story: Story) -> None:
    execution = contract.execution(full_execution(story))
    assert execution.result is not None
    assert (execution.execution_id, execution.status) == (RUN, ExecutionStatus.FAILED)
    assert execution.result.echo.text == "done"
    assert execution.result.each == (sample.client.WordsOutput(str_="w"),)
    assert execution.result.maybe is None
    echo, each, maybe = execution.steps.echo, execution.steps.each, execution.steps.maybe
    assert isinstance(echo, Step)
    assert (echo.state.status, echo.state.attempts, echo.state.worker) == (StepStatus.COMPLETED, 2, "w1")
    assert (echo.state.started_at, echo.state.finished_at) == (datetime.fromtimestamp(10, UTC), None)
    assert echo.output is not None
    assert echo.output.text == "done"
    assert isinstance(each, ForEachStep)
    assert [(item.index, item.state.status, item.output) for item in each.items] == [
        (0, StepStatus.COMPLETED, sample.client.WordsOutput(str_="w")),
        (1, StepStatus.FAILED, None),
    ]
    assert isinstance(each.items[1].state.error, InternalError)
    assert (maybe.state.status, maybe.output) == (StepStatus.SKIPPED, None)
    assert execution.metadata.created_at == datetime.fromtimestamp(9, UTC)
    assert (execution.metadata.labels, execution.metadata.bundle_digest) == ({"team": "a"}, "d1")
    assert isinstance(execution.error, InternalError)
    assert (execution.error.execution_id, execution.error.step) == (RUN, "each")


def test_an_execution_that_says_little_is_no_error(contract: Contract[Any, Any, Any], story: Story) -> None:
    execution = contract.execution(story.messages.Execution(execution_id=RUN))
    assert execution.status is ExecutionStatus.UNSPECIFIED
    assert (execution.result, execution.error) == (None, None)
    assert execution.steps.echo == Step()
    assert execution.steps.each == ForEachStep()


def test_a_status_of_a_newer_server_is_no_error(contract: Contract[Any, Any, Any], story: Story) -> None:
    message = story.messages.Execution(execution_id=RUN, status=77)
    assert contract.execution(message).status is ExecutionStatus.UNSPECIFIED


def test_a_result_without_fields_is_still_a_result(contract: Contract[Any, Any, Any], story: Story) -> None:
    result = contract.result(story.execution("COMPLETED"))
    assert result.echo.text == ""
    assert (result.maybe, result.each) == (None, ())
