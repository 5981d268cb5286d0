"""What the blocking face of the Python client costs over the asynchronous one: medians and ratios of one run.

`python benchmarks/python_faces.py`. One server in a process of its own answers from memory; each way is measured in
turns. Bare grpc's blocking stub stands for what a blocking client written by hand could reach at best.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import grpc

from promptflow_api.client import PromptFlow
from promptflow_api.flows.sentiment_analysis.v1 import sentiment_analysis_pb2 as messages
from promptflow_api.sync import PromptFlow as BlockingPromptFlow
from promptflow_api.v1 import execution_pb2

SERVICE = "promptflow_api.flows.sentiment_analysis.v1.SentimentAnalysisService"
EVENTS = 1000


async def serve() -> None:
    """Answer GetInfo and Watch at once; print the address."""

    async def info(_request: Any, _context: Any) -> Any:
        return execution_pb2.GetInfoResponse(flow="sentiment_analysis", version=1)

    async def watch(_request: Any, _context: Any) -> Any:
        for sequence in range(1, EVENTS):
            event = messages.Event(execution_id="x", sequence=sequence)
            event.step_started.step = "analyze"
            yield event
        event = messages.Event(execution_id="x", sequence=EVENTS)
        event.done.status = execution_pb2.ExecutionStatus.COMPLETED
        yield event

    def write(message: Any) -> bytes:
        return bytes(message.SerializeToString())

    handlers: dict[str, Any] = {
        "GetInfo": grpc.unary_unary_rpc_method_handler(info, execution_pb2.GetInfoRequest.FromString, write),
        "Watch": grpc.unary_stream_rpc_method_handler(watch, messages.WatchRequest.FromString, write),
    }
    server = grpc.aio.server()
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, handlers)])
    print(f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}", flush=True)
    await server.start()
    await server.wait_for_termination()


async def asynchronous(target: str, calls: int) -> tuple[list[float], float]:
    """Latencies of unary calls in ms, and events per second."""
    times: list[float] = []
    async with PromptFlow(target) as pf:
        for _ in range(calls):
            start = time.perf_counter()
            await pf.sentiment_analysis.info()
            times.append((time.perf_counter() - start) * 1e3)
        start = time.perf_counter()
        async for _ in pf.sentiment_analysis.handle("x").events():
            pass
        return times, EVENTS / (time.perf_counter() - start)


def blocking(target: str, calls: int) -> tuple[list[float], float]:
    """The same without asyncio."""
    with BlockingPromptFlow(target) as pf:
        times = timed(pf.sentiment_analysis.info, calls)
        start = time.perf_counter()
        for _ in pf.sentiment_analysis.handle("x").events():
            pass
        return times, EVENTS / (time.perf_counter() - start)


def bare(target: str, calls: int) -> tuple[list[float], float]:
    """The same by grpc's blocking stubs, with nothing around them."""
    with grpc.insecure_channel(target) as channel:
        unary: Any = channel.unary_unary(
            f"/{SERVICE}/GetInfo",
            execution_pb2.GetInfoRequest.SerializeToString,
            execution_pb2.GetInfoResponse.FromString,
        )
        times = timed(lambda: unary(execution_pb2.GetInfoRequest()), calls)
        stream: Any = channel.unary_stream(
            f"/{SERVICE}/Watch", messages.WatchRequest.SerializeToString, messages.Event.FromString
        )
        start = time.perf_counter()
        for _ in stream(messages.WatchRequest(execution_id="x")):
            pass
        return times, EVENTS / (time.perf_counter() - start)


def timed(call: Callable[[], object], calls: int) -> list[float]:
    """Latencies in ms."""
    times: list[float] = []
    for _ in range(calls):
        start = time.perf_counter()
        call()
        times.append((time.perf_counter() - start) * 1e3)
    return times


def main() -> None:
    """Measure in turns and print medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=500)
    arguments = parser.parse_args()
    if arguments.serve:
        asyncio.run(serve())
        return
    server = subprocess.Popen([sys.executable, __file__, "--serve"], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    target = server.stdout.readline().strip()
    ways: dict[str, Callable[[], tuple[list[float], float]]] = {
        "asynchronous": lambda: asyncio.run(asynchronous(target, arguments.calls)),
        "blocking": lambda: blocking(target, arguments.calls),
        "bare grpc, blocking": lambda: bare(target, arguments.calls),
    }
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    try:
        for _ in range(arguments.rounds):
            for name, way in ways.items():
                times, events_per_s = way()
                found[name].append((statistics.median(times), events_per_s))
    finally:
        server.terminate()
        server.wait()
    base_ms, base_per_s = (statistics.median(column) for column in zip(*found["asynchronous"], strict=True))
    for name, rounds in found.items():
        p50_ms, per_s = (statistics.median(column) for column in zip(*rounds, strict=True))
        print(
            f"{name:20} call p50 {p50_ms:.3f} ms ({p50_ms / base_ms:.2f} x), "
            f"events {per_s:,.0f}/s ({per_s / base_per_s:.2f} x)"
        )


if __name__ == "__main__":
    main()
