"""The gateway as the supervisor runs it, before an echo server."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import httpx
from tests.unit.server.gateway.echo_server import ROOT, Echo, compile_echo, free_ports, start_server
from tests.unit.server.supervisor.stubs import told

from promptflow_server.gateway.twins import with_twins
from promptflow_server.supervisor.part import PartChange, PartEvent
from promptflow_server.supervisor.ports import Ports
from promptflow_server.supervisor.stack import Stack
from promptflow_server.supervisor.supervisor import Supervisor

STREAM = "/api/v1/echo/execute/stream"


def stack_in(folder: Path, *, workers: int = 1) -> Stack:
    return Stack(
        project=folder,
        data=folder / ".promptflow",
        ports=Ports(*free_ports(4)),
        environment={"PROMPTFLOW_REDIS_URL": "redis://:hunter2@127.0.0.1:1/0"},
        queues=("sentiment", "ocr"),
        workers=workers,
    )


async def test_the_gateway_is_ready_when_it_answers_and_drains_before_it_ends(tmp_path: Path) -> None:
    descriptors, echo, events = compile_echo(), Echo(), list[PartEvent]()
    stack = stack_in(tmp_path)
    server = await start_server(descriptors, echo, stack.ports.grpc)
    part = stack.gateway(with_twins(descriptors), "/api/v1/echo/status/x")
    is_ready, is_open, received = asyncio.Event(), asyncio.Event(), list[bytes]()

    async def follow() -> None:
        url = f"http://127.0.0.1:{stack.ports.gateway}"
        async with (
            httpx.AsyncClient(base_url=url) as client,
            client.stream("POST", STREAM, content=b"{}", headers={"accept": "text/event-stream"}) as answer,
        ):
            async for chunk in answer.aiter_raw():
                received.append(chunk)
                is_open.set()

    def report(event: PartEvent) -> None:
        events.append(event)
        if event.change is PartChange.READY:
            is_ready.set()
        if event.change is PartChange.STOPPING:
            # The stream ends well after the gateway was asked to stop: a SIGTERM at once would cut it.
            asyncio.get_running_loop().call_later(0.3, echo.go_on.set)

    async def work() -> None:
        await is_open.wait()

    async with asyncio.timeout(8), asyncio.TaskGroup() as group:
        group.create_task(Supervisor([[part]], stack.logs, report).run(work))
        await is_ready.wait()
        group.create_task(follow())
    await server.stop(None)
    assert received == [b"first\n\n", b"last\n\n"]
    assert told(events)[-1] == ("envoy", PartChange.STOPPED)


async def test_a_worker_is_ready_though_its_weights_are_not_here_yet(tmp_path: Path, redis_url: str) -> None:
    events = list[PartEvent]()
    environment = {
        "PROMPTFLOW_REDIS_URL": redis_url,
        "PROMPTFLOW_EXECUTORS": "tests.unit.server.supervisor.stuck:Stuck",
        "PYTHONPATH": str(ROOT),
    }
    stack = replace(stack_in(tmp_path, workers=2), environment=environment, queues=("stuck",))
    workers = [part for part in stack.processes() if part.name != "server"]

    async def work() -> None:
        return

    async with asyncio.timeout(9):
        await Supervisor([workers], stack.logs, events.append).run(work)
    ready = [event.part for event in events if event.change is PartChange.READY]
    assert sorted(ready) == ["worker-1", "worker-2"]
    assert {event.change for event in events} == {
        PartChange.STARTING,
        PartChange.READY,
        PartChange.STOPPING,
        PartChange.STOPPED,
    }


def test_secrets_are_on_no_command_line_and_not_in_the_gateway_at_all(tmp_path: Path) -> None:
    stack = stack_in(tmp_path)
    gateway = stack.gateway(with_twins(compile_echo()), "/")
    parts = [*stack.processes(), gateway]
    assert not [part.name for part in parts if "hunter2" in " ".join(part.command)]
    assert "PROMPTFLOW_REDIS_URL" not in gateway.environment
    assert all("PROMPTFLOW_REDIS_URL" in part.environment for part in stack.processes())


def test_parts_are_named_after_how_many_there_are(tmp_path: Path) -> None:
    assert [part.name for part in stack_in(tmp_path).processes()] == ["worker", "server"]
    assert [part.name for part in stack_in(tmp_path, workers=2).processes()] == ["worker-1", "worker-2", "server"]


def test_workers_are_told_their_queues(tmp_path: Path) -> None:
    worker = stack_in(tmp_path).processes()[0]
    assert worker.command[-4:] == ("--queue", "sentiment", "--queue", "ocr")
