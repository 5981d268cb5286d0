"""Calls that answer at once: what is sent again, what is not, what goes with each."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import grpc
import pytest
from tests.unit.clients.conftest import Serve
from tests.unit.clients.sample import Sample
from tests.unit.clients.scripted import RUN, Fail, Silence, Story, retry_info

from promptflow_client import (
    DeadlineExceededError,
    InternalError,
    Options,
    PromptFlowError,
    RetryPolicy,
    UnavailableError,
    api_key,
    bearer,
)

Code = grpc.StatusCode
FAST = RetryPolicy(patience_s=0.3, initial_s=0.01, max_s=0.02)


def client_of(sample: Sample, target: str, **settings: Any) -> Any:
    return sample.index.PromptFlow(target, **{"retry": FAST, **settings})


async def test_start_is_sent_again_as_it_was_while_the_server_is_away(
    sample: Sample, story: Story, served: Serve
) -> None:
    down = [Fail(Code.UNAVAILABLE, reason="SERVER_DRAINING")]
    async with (
        served({"Execute": [down, down, [story.execution("QUEUED")]]}) as server,
        client_of(sample, server.target) as pf,
    ):
        handle = await pf.sample.start(text="hi", count=1)
    assert handle.execution_id == RUN
    first, *others = server.asked("Execute")
    assert others == [first, first]
    assert first.options.request_id
    assert first.DESCRIPTOR.fields_by_name["execution_mode"].enum_type.values_by_number[1].name == "ASYNC"
    assert first.execution_mode == 1


UNSAFE = [code for code in Code if code not in (Code.OK, Code.UNAVAILABLE)]


@pytest.mark.parametrize("code", UNSAFE, ids=lambda code: str(code.name))
async def test_no_other_status_is_tried_again(sample: Sample, served: Serve, code: grpc.StatusCode) -> None:
    async with served({"Execute": [[Fail(code)]]}) as server, client_of(sample, server.target) as pf:
        with pytest.raises(PromptFlowError) as caught:
            await pf.sample.start(text="hi", count=1)
    assert caught.value.code is code
    assert len(server.calls) == 1


async def test_a_full_queue_is_the_callers_to_wait_for(sample: Sample, served: Serve) -> None:
    full = Fail(Code.RESOURCE_EXHAUSTED, reason="QUEUE_FULL", details=(retry_info(timedelta(seconds=2)),))
    async with served({"Execute": [[full]]}) as server, client_of(sample, server.target) as pf:
        with pytest.raises(PromptFlowError) as caught:
            await pf.sample.start(text="hi", count=1)
    assert caught.value.retry_after == timedelta(seconds=2)


async def test_each_run_has_a_request_id_of_its_own(sample: Sample, story: Story, served: Serve) -> None:
    async with (
        served({"Execute": [[story.execution("QUEUED")], [story.execution("QUEUED")]]}) as server,
        client_of(sample, server.target) as pf,
    ):
        await pf.sample.start(text="hi", count=1)
        await pf.sample.start(text="hi", count=1)
    first, second = server.asked("Execute")
    assert first.options.request_id != second.options.request_id


async def test_options_travel_in_the_request(sample: Sample, story: Story, served: Serve) -> None:
    options = Options(request_id="mine", priority=3, labels={"team": "a"}, run_timeout=timedelta(seconds=9))
    async with served({"Execute": [[story.execution("QUEUED")]]}) as server, client_of(sample, server.target) as pf:
        await pf.sample.start(text="hi", count=1, options=options, timeout=5)
    sent = server.calls[0][1].options
    assert (sent.request_id, sent.priority, dict(sent.labels)) == ("mine", 3, {"team": "a"})
    assert sent.timeout.ToTimedelta() == timedelta(seconds=9)
    assert server.remaining_s[0] is not None
    assert server.remaining_s[0] == pytest.approx(5, abs=1)


async def test_a_call_that_hangs_ends_at_its_deadline(sample: Sample, served: Serve) -> None:
    policy = RetryPolicy(call_s=0.2)
    async with (
        served({"GetStatus": [[Silence()], [Silence()]]}) as server,
        client_of(sample, server.target, retry=policy) as pf,
    ):
        with pytest.raises(DeadlineExceededError):
            await pf.sample.handle(RUN).status()
        with pytest.raises(DeadlineExceededError):
            await pf.sample.handle(RUN).status(timeout=0.1)


async def test_status_cancel_info_and_health(sample: Sample, story: Story, served: Serve) -> None:
    info = sample.messages.promptflow__api_dot_v1_dot_execution__pb2.GetInfoResponse(flow="sample", version=1)
    info.definition.update({"steps": ["echo"]})
    health = sample.messages.promptflow__api_dot_v1_dot_execution__pb2.CheckHealthResponse(serving=False)
    health.components.add(name="queue/ocr", serving=False, message="nobody")
    scripts = {
        "GetStatus": [[story.execution("RUNNING")]],
        "Cancel": [[story.execution("CANCELLED")]],
        "GetInfo": [[info]],
        "CheckHealth": [[health]],
    }
    async with served(scripts) as server, client_of(sample, server.target) as pf:
        handle = pf.sample.handle(RUN)
        assert (await handle.status()).status == "RUNNING"
        assert (await handle.cancel()).status.is_terminal
        found = await pf.sample.info()
        assert (found.flow, found.definition) == ("sample", {"steps": ["echo"]})
        told = await pf.sample.health()
    assert [(part.name, part.is_serving, part.message) for part in told.components] == [("queue/ocr", False, "nobody")]
    assert {request.execution_id for name, request in server.calls if name in ("GetStatus", "Cancel")} == {RUN}


async def renewed() -> str:
    """A token that has to be fetched."""
    return "t2"


HEADERS: dict[str, tuple[Any, dict[str, str]]] = {
    "api key": (api_key("k1"), {"x-api-key": "k1"}),
    "token": (bearer("t1"), {"authorization": "Bearer t1"}),
    "function": (bearer(lambda: "t1"), {"authorization": "Bearer t1"}),
    "coroutine": (bearer(renewed), {"authorization": "Bearer t2"}),
    "own": (lambda: [("x-tenant", "a")], {"x-tenant": "a"}),
}


@pytest.mark.parametrize(("hook", "expected"), HEADERS.values(), ids=HEADERS.keys())
async def test_headers_go_with_every_call_and_stream(
    sample: Sample, story: Story, served: Serve, hook: Any, expected: dict[str, str]
) -> None:
    events = story.run()
    scripts = {"GetStatus": [[story.execution("RUNNING")]], "ExecuteStream": [events[:2]], "Watch": [events[2:]]}
    async with served(scripts) as server, client_of(sample, server.target, metadata=hook) as pf:
        await pf.sample.handle(RUN).status()
        await pf.sample.run(text="hi", count=1)
    assert len(server.headers) == 3
    assert all(headers.items() >= expected.items() for headers in server.headers)
    assert all(headers["user-agent"].startswith("promptflow-python") for headers in server.headers)


async def test_an_answer_that_cannot_be_read_is_an_error(sample: Sample, story: Story, served: Serve) -> None:
    class Garbage:
        def SerializeToString(self) -> bytes:  # noqa: N802
            return b"\xff\xff"

    async with (
        served({"GetStatus": [[Garbage()]], "Watch": [[Garbage()], [story.run()[0], Garbage()]]}) as server,
        client_of(sample, server.target) as pf,
    ):
        with pytest.raises(InternalError, match="cannot be read"):
            await pf.sample.handle(RUN).status()
        for _ in range(2):
            with pytest.raises(InternalError, match="cannot be read"):
                await pf.sample.handle(RUN).result()


async def test_closing_the_client_ends_waits_with_an_error(sample: Sample, story: Story, served: Serve) -> None:
    async with served({"Watch": [[story.run()[0], Silence()]]}) as server:
        pf = client_of(sample, server.target)
        stream = pf.sample.handle(RUN).events()
        await anext(stream)
        waiting = asyncio.create_task(anext(stream))
        await asyncio.sleep(0)
        await pf.close()
        with pytest.raises(RuntimeError, match="closed"):
            await waiting
        with pytest.raises(RuntimeError, match="closed"):
            await pf.sample.handle(RUN).status()
        await pf.close()


async def test_cancelling_the_task_ends_the_call_and_goes_on(sample: Sample, story: Story, served: Serve) -> None:
    async with (
        served({"ExecuteStream": [[story.run()[0], Silence()]]}) as server,
        client_of(sample, server.target) as pf,
    ):
        running = asyncio.create_task(pf.sample.run(text="hi", count=1))
        while not server.calls:  # noqa: ASYNC110 - the server has no event for a call that began
            await asyncio.sleep(0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        await server.ended.wait()


async def test_a_server_that_comes_back_is_found_at_once(
    sample: Sample, story: Story, served: Serve, unused_target: str
) -> None:
    policy = RetryPolicy(patience_s=20, initial_s=0.05, max_s=0.1)
    async with client_of(sample, unused_target, retry=policy) as pf:
        started = asyncio.create_task(pf.sample.handle(RUN).status())
        with pytest.raises(UnavailableError):
            await client_of(sample, unused_target).sample.handle(RUN).status()
        async with served({"GetStatus": [[story.execution("RUNNING")]]}, unused_target) as server:
            assert (await started).status == "RUNNING"
    assert len(server.calls) == 1
