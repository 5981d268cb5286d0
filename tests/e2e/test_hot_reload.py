"""`up --watch`: what is saved is served, through Envoy too, and whoever is being served notices nothing."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from tests.e2e.system import ROOT, STOP_S, free_ports

from promptflow_codegen.bundle import load_bundle
from promptflow_codegen.project import Project
from promptflow_server.cli.publishing import publish_bundle
from promptflow_server.services.contracts import Contracts

pytestmark = [pytest.mark.processes, pytest.mark.timeout(90)]

LIVE_WITHIN_S = 0.5
PATIENCE_S = 15.0
NAP = """
name: nap
inputs:
  - {name: seconds, type: number, required: true}
steps:
  - {name: sleep, executor: snooze, config: {seconds: "{{ inputs.seconds }}"}}
"""
FLOW = """
name: NAME
inputs:
  - {name: text, type: string, required: true}
steps:
  - {name: say, executor: transform, config: {value: "WORD {{ inputs.text }}"}}
outputs:
  said: "{{ steps.say.value }}"
"""


def flow(name: str, word: str = "hello") -> str:
    return FLOW.replace("NAME", name).replace("WORD", word)


class Watched:
    """A running `promptflow up --watch`."""

    def __init__(self, root: Path, port_base: int, process: subprocess.Popen[bytes]) -> None:
        self.root, self.port_base, self.process = root, port_base, process
        self.http = f"http://127.0.0.1:{port_base}"
        self.grpc = f"127.0.0.1:{port_base + 1}"

    def save(self, name: str, text: str) -> float:
        """Save a flow as editors do, by a rename; when that was."""
        scratch = self.root / f"{name}.scratch"
        scratch.write_text(text)
        at = time.perf_counter()
        scratch.rename(self.root / "flows" / f"{name}.yaml")
        return at

    @property
    def log(self) -> str:
        return (self.root / "up.log").read_text("utf-8", errors="replace")

    async def printed(self, text: str, after: int = 0) -> None:
        """Return once `up` has printed a text beyond the first `after` characters."""
        async with asyncio.timeout(PATIENCE_S):
            while text not in self.log[after:]:  # noqa: ASYNC110  # another process sets no event
                await asyncio.sleep(0.01)

    def contracts(self) -> Contracts:
        return Contracts.of(load_bundle(Project.at(self.root).bundles_dir))


async def say(client: httpx.AsyncClient, name: str) -> httpx.Response:
    body = {"text": "you", "execution_mode": "SYNC"}
    return await client.post(f"/api/v1/{name.replace('_', '-')}/execute", json=body)


async def says(client: httpx.AsyncClient, name: str, expected: str) -> float:
    """When a flow first answered this."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            answer = await say(client, name)
            if answer.status_code == 200 and answer.json()["result"]["said"] == expected:
                return time.perf_counter()
            await asyncio.sleep(0.005)


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    root = tmp_path_factory.mktemp("watched")
    (root / "flows").mkdir()
    (root / "flows" / "steady.yaml").write_text(flow("steady"))
    (root / "flows" / "nap.yaml").write_text(NAP)
    port_base = free_ports(5)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PROMPTFLOW_EXECUTORS": "tests.e2e.hot_reload.snooze:Snooze"}
    environment |= {"PROMPTFLOW_OFFLINE": "1"}
    command = [sys.executable, "-m", "promptflow_server.cli", "up", "--watch"]
    command += ["--project", str(root), "--port-base", str(port_base)]
    with (root / "up.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment)
    running = Watched(root, port_base, process)
    try:
        deadline = time.monotonic() + 60
        while "serving until" not in running.log:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"it does not serve:\n{running.log[-4000:]}")
            time.sleep(0.05)
        yield running
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(STOP_S)


@pytest.fixture
async def client(watched: Watched) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=watched.http, timeout=PATIENCE_S) as client:
        yield client


async def test_a_saved_flow_is_live_in_half_a_second(watched: Watched, client: httpx.AsyncClient) -> None:
    took_s: list[float] = []
    for name in ("fresh_a", "fresh_b", "fresh_c", "fresh_d", "fresh_e"):
        at = watched.save(name, flow(name))
        took_s.append(await says(client, name, "hello you") - at)
        await watched.printed(f"added    {name} v1")
    print(f"\nnew flow live in {statistics.median(took_s) * 1000:.0f} ms (median of {len(took_s)}: {took_s})")
    # Where others compute too, each has its share of the machine.
    crowd = max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
    assert statistics.median(took_s) < LIVE_WITHIN_S * crowd
    paths = (await client.get("/openapi.json")).json()["paths"]
    assert "/api/v1/fresh-e/execute" in paths
    flows = (await client.get("/api/v1/flows")).json()["flows"]
    assert {"fresh_a", "fresh_e", "steady"} <= {each["flow"] for each in flows}


async def test_an_edit_a_deletion_and_many_files_at_once_are_served(
    watched: Watched, client: httpx.AsyncClient
) -> None:
    watched.save("edited", flow("edited"))
    await says(client, "edited", "hello you")
    watched.save("edited", flow("edited", "goodbye"))
    await says(client, "edited", "goodbye you")
    for number in "abcdefghij":
        (watched.root / "flows" / f"many_{number}.yaml").write_text(flow(f"many_{number}"))
    for number in "abcdefghij":
        await says(client, f"many_{number}", "hello you")
    after = len(watched.log)
    (watched.root / "flows" / "edited.yaml").unlink()
    await watched.printed("removed  edited v1", after)
    assert (await say(client, "edited")).status_code == 404


BROKEN = {
    "no YAML": ("name: [", "error[syntax]"),
    "no executor": (flow("broken").replace("transform", "teleport"), "error[unknown-executor]"),
    "a change that breaks clients": (flow("steady").replace("type: string", "type: integer"), "error[breaking-change]"),
}


@pytest.mark.parametrize("name", BROKEN)
async def test_a_broken_edit_is_told_and_the_old_api_serves_on(
    name: str, watched: Watched, client: httpx.AsyncClient
) -> None:
    text, message = BROKEN[name]
    file = "steady" if "name: steady" in text else "broken"
    after = len(watched.log)
    watched.save(file, text)
    await watched.printed(message, after)
    await watched.printed("stay as they are", after)
    assert (await say(client, "steady")).json()["result"] == {"said": "hello you"}
    after = len(watched.log)
    watched.save(file, flow(file))
    await watched.printed("live in", after)
    await says(client, file, "hello you")


async def test_swaps_under_load_fail_no_request_and_cut_no_stream(watched: Watched, client: httpx.AsyncClient) -> None:
    await says(client, "steady", "hello you")
    contracts, is_over = watched.contracts(), asyncio.Event()
    counts = {"rest": 0, "grpc": 0}
    steady = next(each for each in contracts.flows if each.plan.name == "steady")
    nap = next(each for each in contracts.flows if each.plan.name == "nap")

    async def rest() -> None:
        while not is_over.is_set():
            answer = await say(client, "steady")
            assert answer.status_code == 200, answer.text
            counts["rest"] += 1

    async def direct(channel: grpc.aio.Channel) -> None:
        call: Any = channel.unary_unary(f"/{steady.service}/Execute")
        request = steady.execute_request(text="you", execution_mode=2).SerializeToString()
        while not is_over.is_set():
            steady.execution.FromString(await call(request, timeout=PATIENCE_S))
            counts["grpc"] += 1

    async with (
        nap_in_both(watched, client, nap) as streams,
        grpc.aio.insecure_channel(watched.grpc) as channel,
        asyncio.TaskGroup() as group,
    ):
        for _ in range(2):
            group.create_task(rest())
            group.create_task(direct(channel))
        for number in range(10):
            watched.save("swapped", flow("swapped", f"swap{number}"))
            await says(client, "swapped", f"swap{number} you")
        sequences = [await stream for stream in streams]
        is_over.set()
    print(f"\n10 swaps, {counts['rest']} REST and {counts['grpc']} gRPC calls, streams of {sequences[0]} events")
    assert min(counts.values()) > 10
    for found in sequences:
        assert found[0] == found[1], "dense, and `done` is the last"


@asynccontextmanager
async def nap_in_both(
    watched: Watched, client: httpx.AsyncClient, nap: Any
) -> AsyncIterator[list[asyncio.Task[tuple[list[int], list[int]]]]]:
    """Streams of a run by SSE and by gRPC through Envoy; each ends with its sequences, and what they should be."""
    started = (await client.post("/api/v1/nap/execute", json={"seconds": 4})).json()["execution_id"]

    async def sse() -> tuple[list[int], list[int]]:
        found, is_done = list[int](), False
        headers = {"accept": "text/event-stream"}
        async with client.stream("GET", f"/api/v1/nap/watch/{started}", headers=headers, timeout=30) as answer:
            async for line in answer.aiter_lines():
                if line.startswith("data: "):
                    event = json.loads(line.removeprefix("data: "))
                    found += [event["sequence"]] if event["sequence"] else []
                    is_done = "done" in event
        return found, list(range(1, len(found) + 1)) if is_done else []

    async def direct() -> tuple[list[int], list[int]]:
        found, is_done = list[int](), False
        async with grpc.aio.insecure_channel(watched.http.removeprefix("http://")) as channel:
            request = nap.watch_request(execution_id=started).SerializeToString()
            call: Any = channel.unary_stream(f"/{nap.service}/Watch")(request, timeout=30)
            async for data in call:
                event = nap.event.FromString(data)
                found += [event.sequence] if event.sequence else []
                is_done = event.WhichOneof("event") == "done"
        return found, list(range(1, len(found) + 1)) if is_done else []

    tasks = [asyncio.create_task(sse()), asyncio.create_task(direct())]
    yield tasks
    await asyncio.gather(*tasks)


async def test_what_was_published_survives_the_death_of_the_server(watched: Watched, client: httpx.AsyncClient) -> None:
    watched.save("survivor", flow("survivor"))
    await says(client, "survivor", "hello you")
    bundle = load_bundle(Project.at(watched.root).bundles_dir)
    after = len(watched.log)
    publishing = asyncio.create_task(publish_bundle(bundle, watched.grpc))
    for pid in server_pids(watched):
        os.kill(pid, signal.SIGKILL)
    await asyncio.wait([publishing])
    publishing.exception()
    await watched.printed("server     ready", after)
    await says(client, "survivor", "hello you")
    await says(client, "steady", "hello you")


def server_pids(watched: Watched) -> list[int]:
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_text().split("\0")
            except OSError:
                continue
            if "server" in words and str(watched.root) in words:
                found.append(int(entry.name))
    return found
