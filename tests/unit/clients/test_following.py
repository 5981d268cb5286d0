"""Streams that break: nothing is lost, nothing comes twice, nothing is taken for an end that is none."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from tests.unit.clients.conftest import Serve
from tests.unit.clients.sample import Sample
from tests.unit.clients.scripted import RUN, Fail, Script, Silence, Story, sequences

from promptflow_client import (
    CancelledError,
    DeadlineExceededError,
    Done,
    Handle,
    InternalError,
    InvalidArgumentError,
    NotFoundError,
    PromptFlowError,
    RetryPolicy,
    UnavailableError,
)

FAST = RetryPolicy(patience_s=0.3, initial_s=0.01, max_s=0.02)
CUTS: dict[str, list[Fail]] = {
    "ends without a word": [],
    "unavailable": [Fail(grpc.StatusCode.UNAVAILABLE)],
    "draining": [Fail(grpc.StatusCode.UNAVAILABLE, reason="SERVER_DRAINING")],
    "reset": [Fail(grpc.StatusCode.INTERNAL, "Received RST_STREAM with error code 2")],
    "reset by cancel": [Fail(grpc.StatusCode.CANCELLED)],
    "time limit of a proxy": [Fail(grpc.StatusCode.DEADLINE_EXCEEDED)],
    "answer of a proxy": [Fail(grpc.StatusCode.UNKNOWN)],
}


def client_of(sample: Sample, target: str, retry: RetryPolicy = FAST) -> Any:
    return sample.index.PromptFlow(target, retry=retry)


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS.keys())
@pytest.mark.parametrize("at", [1, 2, 3, 4])
async def test_a_cut_stream_goes_on_after_the_last_sequence(
    sample: Sample, story: Story, served: Serve, cut: list[Fail], at: int
) -> None:
    events = story.run()
    scripts = {"ExecuteStream": [[*events[:at], *cut]], "Watch": [events[at:]]}
    async with served(scripts) as server, client_of(sample, server.target) as pf:
        seen = [event async for event in pf.sample.stream(text="hi", count=1)]
    assert sequences(seen) == [1, 2, 3, 4, 5]
    assert [(request.execution_id, request.after_sequence) for request in server.asked("Watch")] == [(RUN, at)]


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS.keys())
async def test_a_watch_that_is_cut_before_its_first_event_is_opened_again(
    sample: Sample, story: Story, served: Serve, cut: list[Fail]
) -> None:
    events = story.run()
    scripts = {"ExecuteStream": [events[:2]], "Watch": [cut, cut, events[2:]]}
    async with served(scripts) as server, client_of(sample, server.target) as pf:
        seen = [event async for event in pf.sample.stream(text="hi", count=1)]
    assert sequences(seen) == [1, 2, 3, 4, 5]
    assert [request.after_sequence for request in server.asked("Watch")] == [2, 2, 2]


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS.keys())
async def test_watches_that_are_always_cut_end_with_patience(
    sample: Sample, story: Story, served: Serve, cut: list[Fail]
) -> None:
    scripts = {"ExecuteStream": [story.run()[:2]], "Watch": [cut for _ in range(200)]}
    async with served(scripts) as server, client_of(sample, server.target) as pf:
        with pytest.raises(PromptFlowError) as caught:
            await pf.sample.run(text="hi", count=1)
    assert caught.value.execution_id == RUN
    assert 2 < len(server.asked("Watch")) < 100


async def test_events_that_come_again_are_dropped(sample: Sample, story: Story, served: Serve) -> None:
    events = story.run()
    scripts = {"ExecuteStream": [events[:3]], "Watch": [events[1:4], events]}
    async with served(scripts) as server, client_of(sample, server.target) as pf:
        seen = [event async for event in pf.sample.stream(text="hi", count=1)]
    assert sequences(seen) == [1, 2, 3, 4, 5]
    assert [request.after_sequence for request in server.asked("Watch")] == [3, 4]


async def test_unstored_events_come_through_and_do_not_move_the_cursor(
    sample: Sample, story: Story, served: Serve
) -> None:
    events = story.run()
    progress = story.event(0, "step_progress", step="echo", percentage=50.0)
    beat = story.event(0, "heartbeat")
    scripts = {"ExecuteStream": [[*events[:3], progress, beat]], "Watch": [events[3:]]}
    async with served(scripts) as server, client_of(sample, server.target) as pf:
        seen = [event async for event in pf.sample.stream(text="hi", count=1)]
    assert sequences(seen) == [1, 2, 3, 0, 4, 5]
    assert server.asked("Watch")[0].after_sequence == 3


async def test_a_cut_before_the_first_event_sends_the_same_request_again(
    sample: Sample, story: Story, served: Serve
) -> None:
    down = [Fail(grpc.StatusCode.UNAVAILABLE)]
    async with served({"ExecuteStream": [down, [], story.run()]}) as server, client_of(sample, server.target) as pf:
        result = await pf.sample.run(text="hi", count=1)
    assert result.echo.text == "done"
    first, *others = server.asked("ExecuteStream")
    assert len(first.options.request_id) == 32
    assert others == [first, first]


async def test_a_stream_without_done_is_never_a_success(sample: Sample, story: Story, served: Serve) -> None:
    events = story.run()[:4]
    scripts = {"ExecuteStream": [events], "Watch": [[] for _ in range(200)]}
    async with served(scripts) as server, client_of(sample, server.target) as pf:
        with pytest.raises(UnavailableError, match="ended before the run did") as caught:
            await pf.sample.run(text="hi", count=1)
    assert caught.value.execution_id == RUN


async def test_patience_begins_afresh_with_each_new_event(sample: Sample, story: Story, served: Serve) -> None:
    policy = RetryPolicy(patience_s=0.05, initial_s=0.02, max_s=0.02)
    events = [story.event(number, "step_started", step="echo", attempt=1) for number in range(1, 12)]
    scripts = {
        "ExecuteStream": [[events[0]]],
        "Watch": [*([event] for event in events[1:]), [story.ended(12, story.execution("COMPLETED", "x"))]],
    }
    async with served(scripts) as server, client_of(sample, server.target, policy) as pf:
        seen = [event async for event in pf.sample.stream(text="hi", count=1)]
    assert sequences(seen) == list(range(1, 13))


async def test_a_silent_stream_counts_as_cut(sample: Sample, story: Story, served: Serve) -> None:
    policy = RetryPolicy(patience_s=1, initial_s=0.01, max_s=0.02, silence_s=0.1)
    events = story.run()
    scripts = {"ExecuteStream": [[*events[:2], Silence()]], "Watch": [events[2:]]}
    async with served(scripts) as server, client_of(sample, server.target, policy) as pf:
        result = await pf.sample.run(text="hi", count=1)
    assert result.echo.text == "done"


ANSWERS = {
    "wrong inputs": (Fail(grpc.StatusCode.INVALID_ARGUMENT, reason="INVALID_INPUT"), InvalidArgumentError),
    "a server's bug": (Fail(grpc.StatusCode.INTERNAL, reason="INTERNAL"), InternalError),
    "a failure before the first event": (Fail(grpc.StatusCode.INTERNAL), InternalError),
    "no such run": (Fail(grpc.StatusCode.NOT_FOUND, reason="EXECUTION_NOT_FOUND"), NotFoundError),
}


@pytest.mark.parametrize(("answer", "expected"), ANSWERS.values(), ids=ANSWERS.keys())
async def test_what_the_server_says_is_not_asked_again(
    sample: Sample, served: Serve, answer: Fail, expected: type[PromptFlowError]
) -> None:
    async with served({"ExecuteStream": [[answer]]}) as server, client_of(sample, server.target) as pf:
        with pytest.raises(expected, match="as the test says"):
            await pf.sample.run(text="hi", count=1)
    assert len(server.calls) == 1


async def test_the_deadline_ends_the_wait_and_names_the_run(sample: Sample, story: Story, served: Serve) -> None:
    scripts = {"ExecuteStream": [[*story.run()[:2], Silence()]]}
    async with served(scripts) as server, client_of(sample, server.target) as pf:
        with pytest.raises(DeadlineExceededError, match=r"time given is over$") as caught:
            await pf.sample.run(text="hi", count=1, timeout=0.2)
    assert caught.value.execution_id == RUN
    (request,) = server.asked("ExecuteStream")
    assert request.options.timeout.ToMilliseconds() == 200


async def test_the_deadline_bounds_a_row_of_failures(sample: Sample, served: Serve) -> None:
    policy = RetryPolicy(patience_s=60, initial_s=0.01, max_s=0.02)
    down: list[Script] = [[Fail(grpc.StatusCode.UNAVAILABLE)] for _ in range(200)]
    async with served({"ExecuteStream": down}) as server, client_of(sample, server.target, policy) as pf:
        with pytest.raises(DeadlineExceededError):
            await pf.sample.run(text="hi", count=1, timeout=0.2)
    assert len(server.calls) > 2


async def test_nobody_there_is_told_when_patience_is_over(sample: Sample, unused_target: str) -> None:
    async with client_of(sample, unused_target) as pf:
        with pytest.raises(UnavailableError):
            await pf.sample.run(text="hi", count=1)


async def test_a_failed_run_raises_its_own_error(sample: Sample, story: Story, served: Serve) -> None:
    execution = story.execution("FAILED")
    execution.error.CopyFrom(Fail(grpc.StatusCode.UNAVAILABLE, "no worker", reason="NO_WORKERS").status())
    events = [*story.run()[:4], story.ended(5, execution)]
    async with served({"ExecuteStream": [events, events]}) as server, client_of(sample, server.target) as pf:
        with pytest.raises(UnavailableError, match="no worker") as caught:
            await pf.sample.run(text="hi", count=1)
        streamed = [event async for event in pf.sample.stream(text="hi", count=1)]
    assert (caught.value.reason, caught.value.execution_id, caught.value.step) == ("NO_WORKERS", RUN, "echo")
    assert isinstance(streamed[-1], Done)
    assert streamed[-1].execution.status == "FAILED"
    assert len(server.asked("ExecuteStream")) == 2


async def test_a_cancelled_run_without_a_reason_is_no_success(sample: Sample, story: Story, served: Serve) -> None:
    events = [story.ended(1, story.execution("CANCELLED"))]
    async with served({"ExecuteStream": [events]}) as server, client_of(sample, server.target) as pf:
        with pytest.raises(CancelledError):
            await pf.sample.run(text="hi", count=1)


async def test_leaving_a_stream_ends_the_call(sample: Sample, story: Story, served: Serve) -> None:
    scripts = {"ExecuteStream": [[*story.run()[:2], Silence()]]}
    async with served(scripts) as server, client_of(sample, server.target) as pf:
        stream = pf.sample.stream(text="hi", count=1)
        assert (await anext(stream)).sequence == 1
        await stream.aclose()
        await server.ended.wait()


async def test_a_handle_follows_from_where_it_is_told(sample: Sample, story: Story, served: Serve) -> None:
    events = story.run()
    async with served({"Watch": [events[3:], events, [events[4]]]}) as server, client_of(sample, server.target) as pf:
        handle: Handle[Any, Any, Any] = pf.sample.handle(RUN)
        assert sequences([event async for event in handle.events(after=3)]) == [4, 5]
        assert (await handle.result()).echo.text == "done"
        # At or past the end the server repeats `done`: the only event that may come again.
        assert sequences([event async for event in handle.events(after=5)]) == [5]
    assert [request.after_sequence for request in server.asked("Watch")] == [3, 0, 5]


async def test_kinds_of_a_newer_server_are_passed_over(sample: Sample, story: Story, served: Serve) -> None:
    events = [*story.run()[:2], story.event(3, "from_the_future"), story.ended(4, story.execution("COMPLETED", "x"))]
    async with served({"ExecuteStream": [events]}) as server, client_of(sample, server.target) as pf:
        assert sequences([event async for event in pf.sample.stream(text="hi", count=1)]) == [1, 2, 4]
