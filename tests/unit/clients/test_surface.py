"""Batches, plans, lists, read masks, compression, streams as files: what is sent, and what is made of the answers."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
from tests.unit.clients.conftest import Serve
from tests.unit.clients.sample import Sample
from tests.unit.clients.scripted import RUN, Fail, Message, Script, Silence, Story, serve

from promptflow_api.v1 import execution_pb2, execution_service_pb2, flow_service_pb2
from promptflow_client import (
    DeadlineExceededError,
    ExecutionStatus,
    InternalError,
    InvalidArgumentError,
    NotFoundError,
    Options,
    PlanDecision,
    PromptFlowError,
    RetryPolicy,
    UnavailableError,
)

Code = grpc.StatusCode
NOWHERE = Path("/nowhere.png")
FAST = RetryPolicy(patience_s=0.3, initial_s=0.01, max_s=0.02)
EXECUTION_SERVICE = execution_service_pb2.DESCRIPTOR.services_by_name["ExecutionService"]
FLOW_SERVICE = flow_service_pb2.DESCRIPTOR.services_by_name["FlowService"]


def client_of(sample: Sample, target: str, **settings: Any) -> Any:
    return sample.index.PromptFlow(target, **{"retry": FAST, **settings})


def outcomes(messages: Any, *told: Message) -> Message:
    """A batch's answer: executions, and statuses of failures."""
    answer = messages.BatchExecuteResponse()
    for one in told:
        outcome = answer.outcomes.add()
        (outcome.execution if isinstance(one, messages.Execution) else outcome.error).CopyFrom(one)
    return answer


async def test_a_batch_gives_each_outcome_in_its_place(
    sample: Sample, messages: Any, story: Story, served: Serve
) -> None:
    refused = Fail(Code.NOT_FOUND, reason="FLOW_NOT_FOUND").status()
    failed = story.execution("FAILED")
    failed.error.CopyFrom(Fail(Code.UNAVAILABLE, reason="NO_WORKERS").status())
    answer = outcomes(messages, story.execution("COMPLETED", "one"), refused, failed)
    answer.outcomes.add()
    async with served({"BatchExecute": [[answer]]}) as server, client_of(sample, server.target) as pf:
        inputs = [{"text": str(number), "count": number, "class_": "c"} for number in range(4)]
        one, two, three, four = await pf.sample.run_batch(inputs, options=Options(labels={"team": "x"}))
    assert one.echo.text == "one"
    assert [type(two), type(three)] == [NotFoundError, UnavailableError]
    assert (three.execution_id, three.reason) == (RUN, "NO_WORKERS")
    assert "does not say" in four.message
    (request,) = server.asked("BatchExecute")
    assert [each.text for each in request.requests] == ["0", "1", "2", "3"]
    assert {getattr(each, "class") for each in request.requests} == {"c"}
    assert {each.execution_mode for each in request.requests} == {execution_pb2.ExecutionMode.SYNC}
    assert {dict(each.options.labels)["team"] for each in request.requests} == {"x"}
    assert len({each.options.request_id for each in request.requests}) == 4
    # Nothing but the caller bounds how long runs may take.
    assert server.remaining_s[0] is None or server.remaining_s[0] > 1e6


async def test_a_batch_that_is_cut_is_asked_for_again_with_the_same_ids(
    sample: Sample, messages: Any, story: Story, served: Serve
) -> None:
    answer = outcomes(messages, story.execution("COMPLETED", "one"))
    cuts = [[Fail(Code.UNAVAILABLE)], [Fail(Code.INTERNAL, "RST_STREAM")], [answer]]
    async with served({"BatchExecute": cuts}) as server, client_of(sample, server.target) as pf:
        await pf.sample.run_batch([{"text": "a", "count": 1}])
    first, *others = server.asked("BatchExecute")
    assert others == [first, first]


async def test_more_inputs_than_a_batch_holds_go_in_several(
    sample: Sample, messages: Any, story: Story, served: Serve
) -> None:
    done = story.execution("COMPLETED", "x")

    def answer(request: Message) -> Message:
        return outcomes(messages, *[done] * len(request.requests))

    inputs: list[Any] = [{"text": "a", "count": 1}] * 1000 + [{"text": "b", "count": 1}, {"text": 1}]
    scripts: dict[str, list[Script]] = {"BatchExecute": [[answer], [Fail(Code.UNAVAILABLE)], [answer]]}
    async with served(scripts) as server, client_of(sample, server.target) as pf:
        results = await pf.sample.run_batch(inputs, options=Options(request_id="order"))
    assert len(results) == 1002
    assert isinstance(results[1001], InvalidArgumentError)
    assert not any(isinstance(each, PromptFlowError) for each in results[:1001])
    assert {len(request.requests) for request in server.asked("BatchExecute")} == {1, 1000}
    ids = {each.options.request_id for request in server.asked("BatchExecute") for each in request.requests}
    assert ids == {f"order-{index}" for index in range(1001)}


async def test_a_misfit_of_a_batch_is_told_in_its_place_and_the_others_run(
    sample: Sample, messages: Any, story: Story, served: Serve
) -> None:
    answer = outcomes(messages, story.execution("COMPLETED", "one"))
    inputs: list[Any] = [{"text": 1}, {"text": "a", "count": 1}, {"count": "x", "colour": "red"}, {"page": NOWHERE}]
    async with served({"BatchExecute": [[answer]]}) as server, client_of(sample, server.target) as pf:
        first, second, third, fourth = await pf.sample.run_batch(inputs)
    assert second.echo.text == "one"
    assert [found.field for error in (first, third) for found in error.violations] == ["text", "count", "colour"]
    assert (type(fourth), fourth.reason) == (InvalidArgumentError, "FILE_UNREADABLE")
    assert isinstance(fourth.__cause__, FileNotFoundError)
    assert [each.text for request in server.asked("BatchExecute") for each in request.requests] == ["a"]


async def test_a_masked_batch_still_gives_its_results(
    sample: Sample, messages: Any, story: Story, served: Serve
) -> None:
    answer = outcomes(messages, story.execution("COMPLETED", "one"))
    async with served({"BatchExecute": [[answer]]}) as server, client_of(sample, server.target) as pf:
        await pf.sample.run_batch([{"text": "a", "count": 1}], options=Options(read_mask=["status"]))
    (sent,) = server.asked("BatchExecute")[0].requests
    assert list(sent.options.read_mask.paths) == ["status", "result", "execution_id", "error"]


async def test_misfits_alone_are_no_call(sample: Sample, served: Serve) -> None:
    async with served({}) as server, client_of(sample, server.target) as pf:
        assert [type(found) for found in await pf.sample.run_batch([{"text": 1}] * 2)] == [InvalidArgumentError] * 2
    assert server.calls == []


async def test_an_answer_that_leaves_runs_out_is_an_error(sample: Sample, messages: Any, served: Serve) -> None:
    async with served({"BatchExecute": [[outcomes(messages)]]}) as server, client_of(sample, server.target) as pf:
        with pytest.raises(InternalError, match="0 of 1"):
            await pf.sample.run_batch([{"text": "a", "count": 1}])


async def test_the_timeout_bounds_a_batch_of_several_parts_as_a_whole(sample: Sample, served: Serve) -> None:
    inputs: list[Any] = [{"text": "a", "count": 1}] * 2001
    async with served({"BatchExecute": [[Silence()]] * 3}) as server, client_of(sample, server.target) as pf:
        started = time.monotonic()
        with pytest.raises(DeadlineExceededError):
            await pf.sample.run_batch(inputs, timeout=0.6)
        assert time.monotonic() - started < 3
    given = [each.options.timeout.ToSeconds() for asked in server.asked("BatchExecute") for each in asked.requests]
    assert all(seconds < 1 for seconds in given)


async def test_the_runs_of_one_flow_are_listed(sample: Sample) -> None:
    async with (
        serve(EXECUTION_SERVICE, {"ListExecutions": [[page("a")]]}) as server,
        client_of(sample, server.target) as pf,
    ):
        found = [each async for each in pf.sample.executions(status=ExecutionStatus.FAILED, page_size=7)]
    assert [each.execution_id for each in found] == ["a"]
    (asked,) = server.asked("ListExecutions")
    assert (asked.flow, asked.version, asked.page_size, list(asked.statuses)) == ("sample", 1, 7, [4])


async def test_no_inputs_are_no_call(sample: Sample, served: Serve) -> None:
    async with served({}) as server, client_of(sample, server.target) as pf:
        assert await pf.sample.run_batch([]) == ()


async def test_a_plan_says_what_would_run(sample: Sample, served: Serve) -> None:
    answer = execution_pb2.PlanResponse(flow="sample", version=1, bundle_digest="d")
    answer.steps.add(step="echo", executor="combine", stage=0, decision=execution_pb2.PlanDecision.RUNS, cost=0.0)
    answer.steps[0].config.update({"text": "hi", "n": 2})
    answer.steps.add(step="each", executor="words", queue="ocr", needs=["echo"], stage=1, items=0)
    answer.steps[1].decision = 77  # type: ignore[assignment]  # of a newer server
    async with served({"Plan": [[answer]]}) as server, client_of(sample, server.target) as pf:
        plan = await pf.sample.plan(text="hi", count=1)
    echo, each = plan.steps
    assert (plan.flow, plan.version, plan.bundle_digest) == ("sample", 1, "d")
    assert (echo.decision, echo.items, echo.cost, echo.config) == (PlanDecision.RUNS, None, 0.0, {"text": "hi", "n": 2})
    assert (each.decision, each.items, each.cost, each.config) == (PlanDecision.UNSPECIFIED, 0, None, None)
    assert (each.queue, each.needs, each.stage) == ("ocr", ("echo",), 1)
    assert server.asked("Plan")[0].text == "hi"


def page(*ids: str, token: str = "") -> Message:
    """One page of runs."""
    answer = execution_service_pb2.ListExecutionsResponse(next_page_token=token)
    for execution_id in ids:
        answer.executions.add(execution_id=execution_id, flow="sample", version=1, status=3)
    return answer


async def test_lists_are_read_page_by_page_and_only_as_far_as_the_reader_goes(sample: Sample) -> None:
    pages = [[page("a", "b", token="2")], [Fail(Code.UNAVAILABLE)], [page(token="3")], [page("c", token="4")]]
    async with (
        serve(EXECUTION_SERVICE, {"ListExecutions": pages}) as server,
        client_of(sample, server.target) as pf,
    ):
        wanted = [ExecutionStatus.COMPLETED, ExecutionStatus.FAILED]
        found = pf.executions(flow="sample", version=1, status=wanted, page_size=2)
        ids = [(await anext(found)).execution_id for _ in range(3)]
        await found.aclose()
    assert ids == ["a", "b", "c"]
    asked = server.asked("ListExecutions")
    assert [request.page_token for request in asked] == ["", "2", "2", "3"]
    assert {(request.flow, request.version, request.page_size, *request.statuses) for request in asked} == {
        ("sample", 1, 2, 3, 4)
    }


async def test_a_list_ends_with_its_last_page_even_if_the_server_repeats_itself(sample: Sample) -> None:
    for pages, expected in (([[page("a")]], ["a"]), ([[page("a", token="1")], [page("b", token="1")]], ["a", "b"])):
        async with (
            serve(EXECUTION_SERVICE, {"ListExecutions": pages}) as server,
            client_of(sample, server.target) as pf,
        ):
            found = [each async for each in pf.executions(status=ExecutionStatus.COMPLETED)]
        assert [each.execution_id for each in found] == expected
        assert {each.status for each in found} == {ExecutionStatus.COMPLETED}


async def test_flows_are_listed_too(sample: Sample) -> None:
    answer = flow_service_pb2.ListFlowsResponse()
    answer.flows.add(flow="a", version=2, description="d", service="s", path="/p")
    async with serve(FLOW_SERVICE, {"ListFlows": [[answer]]}) as server, client_of(sample, server.target) as pf:
        (found,) = [each async for each in pf.flows()]
    assert (found.flow, found.version, found.description, found.service, found.path) == ("a", 2, "d", "s", "/p")


async def test_read_masks_travel_with_what_the_client_needs_itself(sample: Sample, story: Story, served: Serve) -> None:
    events = story.run()
    scripts = {
        "ExecuteStream": [[*events[:2], Fail(Code.UNAVAILABLE)], events],
        "Watch": [events[2:], events],
        "GetStatus": [[story.execution("RUNNING")]],
    }
    needed = ["execution_id", "status", "error"]
    async with served(scripts) as server, client_of(sample, server.target) as pf:
        await pf.sample.run(text="hi", count=1, options=Options(read_mask=["steps.echo"]))
        _ = [event async for event in pf.sample.handle(RUN).events(read_mask=["result.echo"])]
        await pf.sample.handle(RUN).status(read_mask=("status", "progress"))
        await pf.sample.run(text="hi", count=1)
    started, watched, read, status, plain = (request for _, request in server.calls)
    assert list(started.options.read_mask.paths) == ["steps.echo", "result", *needed]
    assert list(watched.read_mask.paths) == ["steps.echo", "result", *needed]
    assert list(read.read_mask.paths) == ["result.echo", *needed]
    assert list(status.read_mask.paths) == ["status", "progress", "execution_id", "error"]
    assert not plain.options.HasField("read_mask")


@asynccontextmanager
async def counted(target: str) -> AsyncIterator[tuple[str, list[int]]]:
    """An address that leads to `target`, and the sizes of what went there."""
    sizes: list[int] = []

    async def carry(source: asyncio.StreamReader, sink: asyncio.StreamWriter, counts: list[int]) -> None:
        while data := await source.read(1 << 16):
            counts.append(len(data))
            sink.write(data)
        sink.close()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(*target.split(":"))
        await asyncio.gather(carry(reader, back, sizes), carry(there, writer, []), return_exceptions=True)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}", sizes


async def test_requests_are_compressed_where_that_is_asked_for(sample: Sample, story: Story, served: Serve) -> None:
    sent: list[int] = []
    text = "hi " * 100_000
    for compression in (None, grpc.Compression.Gzip):
        async with (
            served({"Execute": [[story.execution("QUEUED")]]}) as server,
            counted(server.target) as (target, sizes),
            client_of(sample, target, compression=compression) as pf,
        ):
            await pf.sample.start(text=text, count=1)
        sent.append(sum(sizes))
        assert server.asked("Execute")[0].text == text
    assert sent[1] * 50 < len(text) < sent[0]


async def parts() -> AsyncIterator[bytes]:
    for part in (b"a", b"", b"bc"):
        yield part


def blocking_parts() -> Iterator[bytes]:
    yield from (b"a", b"bc")


@pytest.mark.parametrize("source", [parts, blocking_parts, partial(iter, [b"abc"])], ids=["async", "sync", "iterator"])
async def test_a_stream_of_parts_is_read_once_though_the_call_is_made_twice(
    sample: Sample, story: Story, served: Serve, source: Any
) -> None:
    scripts = {"Execute": [[Fail(Code.UNAVAILABLE)], [story.execution("QUEUED")]]}
    async with served(scripts) as server, client_of(sample, server.target) as pf:
        await pf.sample.start(text="hi", count=1, page=source(), pages=[source(), b"x"])
    assert [request.page.content for request in server.asked("Execute")] == [b"abc", b"abc"]
    assert [file.content for file in server.asked("Execute")[1].pages] == [b"abc", b"x"]


async def test_a_stream_of_text_is_refused(sample: Sample, served: Serve) -> None:
    async with served({}) as server, client_of(sample, server.target) as pf:
        with pytest.raises(TypeError, match="str, not bytes"):
            await pf.sample.start(text="hi", count=1, page=iter(["a"]))


async def test_a_client_says_so_where_its_process_was_forked(sample: Sample, story: Story, served: Serve) -> None:
    async with served({"Execute": [[story.execution("QUEUED")]]}) as server, client_of(sample, server.target) as pf:
        await pf.sample.start(text="hi", count=1)
        # A real fork with a running loop would deadlock in places that are not ours.
        pf.connection._process = os.getpid() + 1
        with pytest.raises(RuntimeError, match="forked; open another one"):
            await pf.sample.start(text="hi", count=1)
