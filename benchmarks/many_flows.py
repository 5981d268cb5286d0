"""A server of many flows: how soon it serves, what it holds, how soon a new flow is live: `make bench-flows`.

Start-up: one server process on an embedded Redis, from its spawn until its health says SERVING; each flow is then
called once, and what the process holds is read again. Swap: `promptflow up` with Envoy, from the call of PublishBundle
until the new flow first answers over REST. Watch: `promptflow up --watch` on a small project, from the save of a new
flow until it first answers over REST. Medians of several rounds, each beside the processor time that the whole system
spent on it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import httpx
from benchmarks.targets import Taken, cpu_s_of, tell
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from promptflow_codegen.bundle import Bundle
from promptflow_codegen.generate import generate
from promptflow_codegen.project import Project
from promptflow_codegen.write import write
from promptflow_core.registry import ExecutorRegistry
from promptflow_server.cli.publish_client import publish_bundle
from promptflow_server.embedded_redis import EmbeddedRedis
from promptflow_server.services.contracts import Contracts

START_WITHIN_S, SWAP_WITHIN_S, WATCH_WITHIN_S = 3.0, 0.5, 0.5
SERVE_DEADLINE_S = 120.0
SETTLE_S = 1.0
"""Between two edits, so that one is over before the next."""

FLOW = """name: {name}
description: Labels a text.
inputs:
  - {{name: text, type: string, required: true, min_length: 1, max_length: 5000}}
  - {{name: channel, type: enum, values: [mail, phone, web], default: mail}}
  - {{name: tags, type: "string[]"}}
steps:
  - name: analyze
    executor: sentiment_analyzer
    config: {{text: "{{{{ inputs.text }}}}"}}
  - name: say
    executor: transform
    config: {{type: string, value: "{{{{ steps.analyze.label }}}} by {{{{ inputs.channel }}}}"}}
outputs:
  label: "{{{{ steps.analyze.label }}}}"
  said: "{{{{ steps.say.value }}}}"
"""


def name_of(number: int) -> str:
    """A flow name, which has no digit after an underscore."""
    return "flow_" + "".join(chr(ord("a") + int(digit)) for digit in f"{number:05}")


def project_of(root: Path, count: int) -> Project:
    """A project of `count` flows, not yet generated."""
    (root / "flows").mkdir(parents=True, exist_ok=True)
    for number in range(count):
        name = name_of(number)
        (root / "flows" / f"{name}.yaml").write_text(FLOW.format(name=name))
    return Project.at(root)


def bundle_of(project: Project) -> Bundle:
    """What the project's flows stand for, written to disk too."""
    generated = generate(project, ExecutorRegistry.load().catalog())
    if generated.bundle is None:
        raise SystemExit(str(generated.diagnostics[0]))
    write(project, generated)
    return generated.bundle


@asynccontextmanager
async def process(*words: str, log: Path, **environment: str) -> AsyncIterator[subprocess.Popen[bytes]]:
    """A `promptflow` command until the end of the block."""
    command = [sys.executable, "-m", "promptflow_server.cli", *words]
    with log.open("wb") as output:
        running = subprocess.Popen(  # noqa: ASYNC220  # back at once
            command, stdout=output, stderr=subprocess.STDOUT, env={**os.environ, **environment}
        )
    try:
        yield running
    finally:
        running.send_signal(signal.SIGTERM)
        await asyncio.to_thread(running.wait)


async def until_serving(address: str) -> None:
    """Return once the server says SERVING."""
    async with asyncio.timeout(SERVE_DEADLINE_S):
        while True:
            async with grpc.aio.insecure_channel(address) as channel:
                call: Any = channel.unary_unary(
                    "/grpc.health.v1.Health/Check", HealthCheckRequest.SerializeToString, HealthCheckResponse.FromString
                )
                try:
                    if (await call(HealthCheckRequest(), timeout=1)).status == HealthCheckResponse.SERVING:
                        return
                except grpc.aio.AioRpcError:
                    await asyncio.sleep(0.02)


async def measure_start(count: int, port: int, rounds: int) -> bool:
    """From spawn to SERVING."""
    with tempfile.TemporaryDirectory(prefix="promptflow-bench-") as folder:
        project = project_of(Path(folder), count)
        bundle = await asyncio.to_thread(bundle_of, project)
        redis = EmbeddedRedis(Path(folder) / "redis")
        url, address, took = await asyncio.to_thread(redis.start), f"127.0.0.1:{port}", list[Taken]()
        before_mib = after_mib = 0
        try:
            for _ in range(rounds):
                began = time.perf_counter()
                words = ("server", "--project", folder, "--address", address)
                async with process(*words, log=Path(folder) / "log", PROMPTFLOW_REDIS_URL=url) as server:
                    await until_serving(address)
                    took.append(Taken(time.perf_counter() - began, cpu_s_of(server.pid)))
                    before_mib = resident_mib(server.pid)
                    await call_each(bundle, address)
                    after_mib = resident_mib(server.pid)
        finally:
            await asyncio.to_thread(redis.close)
    print(f"      {count} flows: {before_mib} MiB when it serves, {after_mib} MiB after a call of each")
    return tell(f"start with {count} flows", took, target_s=START_WITHIN_S)


async def call_each(bundle: Bundle, address: str) -> None:
    """GetInfo of every flow."""
    async with grpc.aio.insecure_channel(address) as channel:
        for flow in Contracts.of(bundle).flows:
            call: Any = channel.unary_unary(f"/{flow.service}/GetInfo")
            await call(b"", timeout=10)


async def measure_swap(count: int, port_base: int, rounds: int) -> bool:
    """From PublishBundle to the first REST answer of the new flow."""
    with tempfile.TemporaryDirectory(prefix="promptflow-bench-") as folder:
        project = project_of(Path(folder), count)
        await asyncio.to_thread(bundle_of, project)
        words = ("up", "--project", folder, "--port-base", str(port_base), "--queue", "general")
        async with (
            process(*words, log=Path(folder) / "log", PROMPTFLOW_OFFLINE="1") as up,
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{port_base}", timeout=10) as client,
        ):
            await until_answered(client, f"/api/v1/{name_of(0).replace('_', '-')}/info")
            took = [await one_swap(project, count + number, client, port_base + 1, up.pid) for number in range(rounds)]
    return tell(f"swap of {count} flows", took, target_s=SWAP_WITHIN_S)


async def one_swap(project: Project, number: int, client: httpx.AsyncClient, port: int, pid: int) -> Taken:
    """Publish one more flow."""
    name = name_of(number)
    (project.flows_dir / f"{name}.yaml").write_text(FLOW.format(name=name))
    bundle = await asyncio.to_thread(bundle_of, project)
    began, began_cpu = time.perf_counter(), cpu_s_of(pid) + time.process_time()
    publishing = asyncio.create_task(publish_bundle(bundle, f"127.0.0.1:{port}"))
    await until_answered(client, f"/api/v1/{name.replace('_', '-')}/info")
    took = Taken(time.perf_counter() - began, cpu_s_of(pid) + time.process_time() - began_cpu)
    await publishing
    return took


async def measure_watch(count: int, port_base: int, rounds: int) -> bool:
    """From the save of a new flow to its first REST answer."""
    with tempfile.TemporaryDirectory(prefix="promptflow-bench-") as folder:
        project = project_of(Path(folder), count)
        (project.root / "clients" / "python").mkdir(parents=True)
        await asyncio.to_thread(bundle_of, project)
        words = ("up", "--watch", "--project", folder, "--port-base", str(port_base), "--queue", "general")
        async with (
            process(*words, log=Path(folder) / "log", PROMPTFLOW_OFFLINE="1") as up,
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{port_base}", timeout=10) as client,
        ):
            await until_answered(client, f"/api/v1/{name_of(0).replace('_', '-')}/info")
            await asyncio.sleep(SETTLE_S)
            took = [await one_edit(project, count + number, client, up.pid) for number in range(rounds)]
    return tell(f"watch of {count} flows", took, target_s=WATCH_WITHIN_S)


async def one_edit(project: Project, number: int, client: httpx.AsyncClient, pid: int) -> Taken:
    """Save one more flow."""
    name = name_of(number)
    began, began_cpu = time.perf_counter(), cpu_s_of(pid)
    (project.flows_dir / f"{name}.yaml").write_text(FLOW.format(name=name))
    await until_answered(client, f"/api/v1/{name.replace('_', '-')}/info")
    took = Taken(time.perf_counter() - began, cpu_s_of(pid) - began_cpu)
    await asyncio.sleep(SETTLE_S)
    return took


async def until_answered(client: httpx.AsyncClient, path: str) -> None:
    """Return once a GET succeeds."""
    async with asyncio.timeout(SERVE_DEADLINE_S):
        while True:
            try:
                if (await client.get(path)).is_success:
                    return
            except httpx.HTTPError:
                pass
            await asyncio.sleep(0.01)


def resident_mib(pid: int) -> int:
    """What a process holds."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) // 1024


async def main() -> int:
    """Print the figures; 1 where one is above its target."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--start-flows", type=int, default=1000)
    parser.add_argument("--swap-flows", type=int, default=300)
    parser.add_argument("--watch-flows", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--port-base", type=int, default=21580)
    options = parser.parse_args()
    met = [
        await measure_start(options.start_flows, options.port_base + 1, options.rounds),
        await measure_swap(options.swap_flows, options.port_base, options.rounds),
        await measure_watch(options.watch_flows, options.port_base, options.rounds),
    ]
    return int(not all(met))


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
