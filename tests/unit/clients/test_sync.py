"""The blocking client: the asynchronous one's surface, for threads, with Ctrl-C, forks and closes that end."""

from __future__ import annotations

import asyncio
import gc
import inspect
import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from tests.unit.clients.conftest import Serve
from tests.unit.clients.sample import PACKAGE, ROOT, Sample
from tests.unit.clients.scripted import RUN, Fail, Script, ScriptedServer, Silence, Story, sequences

from promptflow_client import Done, RetryPolicy, flow, handle, promptflow, sync
from promptflow_codegen.emit.python_sync import emit_sync_runtime

RUNTIME = ROOT / "clients/python/promptflow_client"
FAST = RetryPolicy(patience_s=0.3, initial_s=0.01, max_s=0.02)
PROGRAM_S = 30
QUIET = {"GRPC_VERBOSITY": "ERROR", "GRPC_ENABLE_FORK_SUPPORT": "0"}
Code = grpc.StatusCode


def client_of(sample: Sample, target: str, **settings: Any) -> Any:
    """The sample's blocking client."""
    return sample.sync.PromptFlow(target, **{"retry": FAST, **settings})


@asynccontextmanager
async def talking(
    sample: Sample, served: Serve, scripts: Mapping[str, Sequence[Script]]
) -> AsyncIterator[tuple[Any, ScriptedServer]]:
    """A blocking client and the server that it calls; use the client in threads alone, the server needs the loop."""
    async with served(scripts) as server:
        pf = client_of(sample, server.target)
        try:
            yield pf, server
        finally:
            await asyncio.to_thread(pf.close)


def test_the_blocking_classes_are_made_of_the_asynchronous_ones() -> None:
    sources = {name: (RUNTIME / f"{name}.py").read_text("utf-8") for name in ("promptflow", "flow", "handle")}
    text = emit_sync_runtime(sources)
    if os.environ.get("UPDATE_GOLDEN"):
        (RUNTIME / "sync.py").write_text(text, "utf-8")
    assert (RUNTIME / "sync.py").read_text("utf-8") == text, "UPDATE_GOLDEN=1 writes promptflow_client/sync.py anew"


PAIRS = [
    (promptflow.PromptFlowBase, sync.PromptFlowBase),
    (flow.FlowClientBase, sync.FlowClientBase),
    (handle.Handle, sync.Handle),
]


def surface(cls: Any) -> dict[str, list[inspect.Parameter]]:
    """The public methods of a class, with their parameters."""
    functions = inspect.getmembers(cls, inspect.isfunction)
    return {
        name: list(inspect.signature(function).parameters.values())
        for name, function in functions
        if not name.startswith("_")
    }


def test_both_faces_have_the_same_methods_and_parameters(sample: Sample) -> None:
    for one, other in [*PAIRS, (sample.client.SampleClient, sample.sync_flow.SampleClient)]:
        assert surface(one) == surface(other), one
    blocking = inspect.signature(sync.PromptFlowBase).parameters
    assert list(inspect.signature(promptflow.PromptFlowBase).parameters.values()) == list(blocking.values())


async def test_runs_streams_and_handles_block(sample: Sample, story: Story, served: Serve) -> None:
    scripts = {
        "ExecuteStream": [story.run("hi"), story.run("hi")],
        "Execute": [[story.execution("QUEUED")]],
        "Watch": [story.run("later"), story.run("later")[2:]],
        "GetStatus": [[story.execution("RUNNING")]],
        "Cancel": [[story.execution("CANCELLED")]],
    }

    def use(pf: Any) -> None:
        assert pf.sample.run(text="hi", count=1).echo.text == "hi"
        assert sequences(pf.sample.stream(text="hi", count=1)) == [1, 2, 3, 4, 5]
        started = pf.sample.start(text="hi", count=1)
        assert (started.execution_id, repr(started)) == (RUN, f"Handle('{RUN}')")
        assert started.result().echo.text == "later"
        with pf.sample.handle(RUN).events(after=2) as events:
            *_, last = events
        assert isinstance(last, Done)
        assert started.status().status == "RUNNING"
        assert started.cancel().status == "CANCELLED"

    async with talking(sample, served, scripts) as (pf, server):
        await asyncio.to_thread(use, pf)
    assert [name for name, _ in server.calls][-2:] == ["GetStatus", "Cancel"]


async def test_errors_come_as_they_are(sample: Sample, served: Serve) -> None:
    async with talking(sample, served, {"GetStatus": [[Fail(Code.NOT_FOUND, reason="EXECUTION_NOT_FOUND")]]}) as (
        pf,
        _,
    ):
        with pytest.raises(Exception, match="EXECUTION_NOT_FOUND") as caught:
            await asyncio.to_thread(pf.sample.handle(RUN).status)
    assert type(caught.value).__name__ == "NotFoundError"


async def test_many_threads_share_one_client(sample: Sample, story: Story, served: Serve) -> None:
    async with talking(sample, served, {"ExecuteStream": [story.run(str(n)) for n in range(32)]}) as (pf, _):
        results = await asyncio.gather(
            *(asyncio.to_thread(pf.sample.run, text=str(number), count=number) for number in range(32))
        )
    assert sorted(int(result.echo.text) for result in results) == list(range(32))


async def test_a_stream_that_is_left_ends_its_call(sample: Sample, story: Story, served: Serve) -> None:
    def leave_by_with(pf: Any) -> None:
        with pf.sample.stream(text="hi", count=1) as events:
            next(events)
        assert list(events) == []

    def leave_by_forgetting(pf: Any) -> None:
        next(pf.sample.stream(text="hi", count=1))
        gc.collect()

    for leave in (leave_by_with, leave_by_forgetting):
        async with talking(sample, served, {"ExecuteStream": [[*story.run()[:1], Silence()]]}) as (pf, server):
            await asyncio.to_thread(leave, pf)
            await asyncio.wait_for(server.ended.wait(), 5)


async def test_closing_a_stream_ends_the_loop_of_the_thread_that_reads_it(
    sample: Sample, story: Story, served: Serve
) -> None:
    async with talking(sample, served, {"ExecuteStream": [[*story.run()[:1], Silence()]]}) as (pf, server):
        stream = await asyncio.to_thread(pf.sample.stream, text="hi", count=1)
        seen = threading.Event()

        def read() -> list[int]:
            found: list[int] = []
            for event in stream:
                found.append(event.sequence)
                seen.set()
            return found

        reading = asyncio.create_task(asyncio.to_thread(read))
        await asyncio.to_thread(seen.wait, 5)
        await asyncio.to_thread(stream.close)
        assert await asyncio.wait_for(reading, 5) == [1]
        await asyncio.wait_for(server.ended.wait(), 5)


async def test_closing_the_client_ends_an_open_stream(sample: Sample, story: Story, served: Serve) -> None:
    async with talking(sample, served, {"ExecuteStream": [[*story.run()[:1], Silence()]]}) as (pf, server):
        stream = await asyncio.to_thread(pf.sample.stream, text="hi", count=1)
        await asyncio.to_thread(next, stream)
        reading = asyncio.create_task(asyncio.to_thread(next, stream))
        await asyncio.sleep(0)
        await asyncio.to_thread(pf.close)
        with pytest.raises(RuntimeError, match="closed"):
            await asyncio.wait_for(reading, 5)
        await asyncio.wait_for(server.ended.wait(), 5)
        with pytest.raises(RuntimeError, match="closed; open another one"):
            await asyncio.to_thread(pf.sample.run, text="hi", count=1)


async def test_a_stream_of_a_closed_client_is_left_without_a_word(sample: Sample, story: Story, served: Serve) -> None:
    def use(pf: Any) -> None:
        with pf, pf.sample.stream(text="hi", count=1) as events:
            next(events)
            pf.close()
        pf.close()

    async with talking(sample, served, {"ExecuteStream": [[*story.run()[:1], Silence()]]}) as (pf, server):
        await asyncio.to_thread(use, pf)
        await asyncio.wait_for(server.ended.wait(), 5)


async def test_calls_that_meet_a_close_end(sample: Sample, served: Serve) -> None:
    def hammer(pf: Any) -> str:
        try:
            while True:
                pf.sample.handle(RUN).status()
        except RuntimeError as error:
            return str(error)

    for _ in range(5):
        async with talking(sample, served, {"GetStatus": [[Silence()] for _ in range(16)]}) as (pf, server):
            calls = [asyncio.create_task(asyncio.to_thread(hammer, pf)) for _ in range(4)]
            await asyncio.wait_for(server.asked_once.wait(), 5)
            await asyncio.to_thread(pf.close)
            said = await asyncio.wait_for(asyncio.gather(*calls), 10)
        assert all("closed" in each for each in said)


async def test_a_hook_that_waits_for_its_own_client_says_so_instead_of_hanging(sample: Sample, served: Serve) -> None:
    clients: list[Any] = []

    def hook() -> Sequence[tuple[str, str]]:
        clients[0].sample.info()
        return ()

    async with served({}) as server:
        with client_of(sample, server.target, metadata=hook) as pf:
            clients.append(pf)
            with pytest.raises(RuntimeError, match="cannot wait for the client"):
                await asyncio.to_thread(pf.sample.info)


PROGRAM = """
import os, signal, sys, threading
from sample_api.sync import PromptFlow

def main(target):
    pf = PromptFlow(target)
    stream = pf.sample.stream(text="hi", count=1)
    assert next(stream).sequence == 1
    {body}

main(sys.argv[1])
"""
INTERRUPTED = """
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
    try:
        next(stream)
    except KeyboardInterrupt:
        print("interrupted")
    print(list(stream))
    pf.close()
"""
FORKED = """
    child = os.fork()
    if child == 0:
        try:
            pf.sample.run(text="hi", count=1)
        except RuntimeError as error:
            print(error)
        sys.exit(7)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    pf.close()
"""
NOT_CLOSED = """
    print("done")
"""


@pytest.mark.parametrize(
    ("body", "printed"),
    [
        (INTERRUPTED, "interrupted\n[]\n"),
        (FORKED, "this client was used before this process was forked; open another one here\n7\n"),
        (NOT_CLOSED, "done\n"),
    ],
    ids=["Ctrl-C", "fork", "end of the program"],
)
async def test_a_program_ends_well(
    sample: Sample, story: Story, served: Serve, tmp_path: Path, body: str, printed: str
) -> None:
    packages = [str(sample.folder), str(ROOT / "clients/python")]
    (tmp_path / "program.py").write_text(PROGRAM.replace("{body}", body.strip()))
    async with served({"ExecuteStream": [[*story.run()[:1], Silence()]]}) as server:
        program = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-W", "error", str(tmp_path / "program.py"), server.target),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            # Else gRPC starts its own threads again in a forked child, where one of them may crash.
            env={**os.environ, **QUIET, "PYTHONPATH": os.pathsep.join(packages)},
        )
        output, errors = await asyncio.wait_for(program.communicate(), PROGRAM_S)
        assert (output.decode(), program.returncode) == (printed, 0), errors.decode()
        await asyncio.wait_for(server.ended.wait(), 5)
    assert errors.decode() == ""


def test_the_sample_has_both_faces(sample: Sample) -> None:
    assert sample.sync_flow.__name__ == f"{PACKAGE}.sync"
    assert sample.sync_flow.Result is sample.client.Result
