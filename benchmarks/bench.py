"""What PromptFlow costs, as ratios of things measured in one run: `make bench`.

Five ways to do little work, measured in turns so that all meet the same machine; each figure is the median over the
rounds. Client, server, worker, Redis and Envoy share the machine: read the ratios, not the absolute values.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import httpx
import uvloop
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from rich.console import Console
from rich.table import Table
from tests.e2e.system import System, copy_project, free_ports, running_system

from promptflow_codegen.bundle import load_bundle
from promptflow_core.settings import Settings

TEXTS = (
    "I love this!",
    "The chair is a disaster.",
    "It came on time and works as it should, though the manual is thin.",
    "Nobody ever rang me back.",
)
Call = Callable[[int], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Figure:
    """One round of one way: latencies in ms, throughput in calls per second."""

    p50_ms: float
    p99_ms: float
    per_s: float


async def measure(call: Call, *, clients: int, seconds: float) -> Figure:
    """Call as fast as `clients` callers can, each one after the other."""
    latencies: list[float] = []
    end = time.perf_counter() + seconds

    async def caller(number: int) -> None:
        while (start := time.perf_counter()) < end:
            await call(number + len(latencies))
            latencies.append((time.perf_counter() - start) * 1e3)

    start = time.perf_counter()
    await asyncio.gather(*(caller(number) for number in range(clients)))
    elapsed = time.perf_counter() - start
    ordered = sorted(latencies)
    return Figure(
        statistics.median(ordered), ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))], len(ordered) / elapsed
    )


def median(figures: list[Figure]) -> Figure:
    """The median of each column over the rounds."""
    columns = ([getattr(figure, name) for figure in figures] for name in ("p50_ms", "p99_ms", "per_s"))
    return Figure(*(statistics.median(column) for column in columns))


def flow_call(channel: grpc.aio.Channel, project: Path, flow: str) -> Call:
    """SYNC Execute of a flow with one input `text`."""
    bundle = load_bundle(project / ".promptflow" / "bundles")
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(bundle.descriptors).file:
        pool.Add(file)
    plan = bundle.plan(flow, 1)
    assert plan is not None, flow
    request_type: Any = message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{plan.package}.ExecuteRequest"))
    answer_type: Any = message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{plan.package}.Execution"))
    method: Any = channel.unary_unary(
        f"/{plan.package}.{plan.service}/Execute",
        request_serializer=request_type.SerializeToString,
        response_deserializer=answer_type.FromString,
    )

    async def call(number: int) -> object:
        answer = await method(request_type(text=TEXTS[number % len(TEXTS)], execution_mode=2), timeout=30)
        assert answer.HasField("result"), answer
        return answer

    return call


def rest_call(client: httpx.AsyncClient, flow: str) -> Call:
    """The same over REST through Envoy."""

    async def call(number: int) -> object:
        body = {"text": TEXTS[number % len(TEXTS)], "execution_mode": "SYNC"}
        answer = await client.post(f"/api/v1/{flow}/execute", json=body)
        assert answer.status_code == 200, answer.text
        return answer

    return call


async def raw_call() -> Call:
    """The sentiment model by itself in this process: tokenizer, session and softmax, one text a run."""
    from promptflow_workers.models.repository import load_text_classifier  # noqa: PLC0415 - loads onnxruntime

    classifier = await load_text_classifier("sentiment-minilm", Settings.from_environment(os.environ))

    async def call(number: int) -> object:
        return await classifier.classify([TEXTS[number % len(TEXTS)]])

    return call


@asynccontextmanager
async def echo_call() -> AsyncIterator[Call]:
    """Bare grpc.aio in a process of its own."""
    address = f"127.0.0.1:{free_ports(1)}"
    script = Path(__file__).with_name("echo_server.py")
    server = await asyncio.create_subprocess_exec(sys.executable, str(script), address)
    try:
        async with grpc.aio.insecure_channel(address) as channel:
            method: Any = channel.unary_unary("/bench.Echo/Echo")

            async def call(number: int) -> object:
                return await method(TEXTS[number % len(TEXTS)].encode(), timeout=30, wait_for_ready=True)

            yield call
    finally:
        server.terminate()
        await server.wait()


async def run(
    system: System, *, rounds: int, seconds: float, clients: tuple[int, ...]
) -> dict[tuple[str, int], Figure]:
    """Measure every way in turns."""
    figures: dict[tuple[str, int], list[Figure]] = {}
    limits = httpx.Limits(max_connections=64)
    async with (
        grpc.aio.insecure_channel(system.grpc) as channel,
        httpx.AsyncClient(base_url=system.http, timeout=30, limits=limits) as http,
        echo_call() as echo,
    ):
        ways: Mapping[str, Call] = {
            "bare grpc.aio echo": echo,
            "inline step, gRPC": flow_call(channel, system.project, "inline_step"),
            "sentiment, gRPC": flow_call(channel, system.project, "sentiment_analysis"),
            "sentiment, REST": rest_call(http, "sentiment-analysis"),
            "raw onnxruntime": await raw_call(),
        }
        for call in ways.values():
            await measure(call, clients=4, seconds=0.5)
        for _ in range(rounds):
            for count in clients:
                for name, call in ways.items():
                    figure = await measure(call, clients=count, seconds=seconds)
                    figures.setdefault((name, count), []).append(figure)
    return {key: median(rows) for key, rows in figures.items()}


def show(figures: Mapping[tuple[str, int], Figure], console: Console) -> None:
    """A table with what each way costs against the floor and against the model alone."""
    table = Table(title="PromptFlow, medians over the rounds; ratios within this run")
    for column in ("way", "clients", "p50 ms", "p99 ms", "req/s", "req/s vs echo", "req/s vs raw model"):
        table.add_column(column, justify="left" if column == "way" else "right")
    for (name, clients), figure in figures.items():
        echo, raw = figures["bare grpc.aio echo", clients], figures["raw onnxruntime", clients]
        ratio = f"{figure.per_s / raw.per_s:.2f}" if name.startswith(("sentiment", "raw")) else ""
        table.add_row(
            name,
            str(clients),
            f"{figure.p50_ms:.2f}",
            f"{figure.p99_ms:.2f}",
            f"{figure.per_s:.0f}",
            f"{figure.per_s / echo.per_s:.3f}",
            ratio,
        )
    console.print(table)


def main() -> None:
    """Start a system, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 16])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        project = copy_project(Path(__file__).parent / "project", Path(folder) / "project")
        with running_system(project) as system, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            job = run(system, rounds=arguments.rounds, seconds=arguments.seconds, clients=tuple(arguments.clients))
            show(runner.run(job), Console(width=120))


if __name__ == "__main__":
    main()
