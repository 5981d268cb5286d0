"""A server that starts before its Redis: it says so, and serves as soon as it can."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tests.e2e.system import ROOT, copy_project, free_ports

from promptflow_api.client import PromptFlow
from promptflow_client import PromptFlowError, RetryPolicy
from promptflow_server.embedded_redis import EmbeddedRedis

pytestmark = [pytest.mark.processes, pytest.mark.timeout(60)]

NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVING = health_pb2.HealthCheckResponse.SERVING


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    """A Redis that has an address and a password, and does not run."""
    redis = EmbeddedRedis(tmp_path / "redis")
    redis.start()
    redis.close()
    yield redis
    redis.close()


@pytest.fixture
def server(redis: EmbeddedRedis, tmp_path: Path) -> Iterator[str]:
    """The address of a server process on the shipped flows."""
    project = copy_project(ROOT, tmp_path / "project")
    promptflow = [sys.executable, "-m", "promptflow_server.cli"]
    subprocess.run([*promptflow, "generate", "--project", str(project)], check=True)
    address = f"127.0.0.1:{free_ports(1)}"
    environment = {**os.environ, "PROMPTFLOW_REDIS_URL": redis.start(), "PROMPTFLOW_DATA_DIR": str(tmp_path)}
    redis.close()
    command = [*promptflow, "server", "--project", str(project), "--address", address]
    process = subprocess.Popen(command, env=environment)
    try:
        yield address
    finally:
        process.terminate()
        assert process.wait(20) == 0


async def wait_for_health(address: str, wanted: int) -> None:
    """Watch grpc.health.v1 until it says `wanted` of the whole server."""
    async with asyncio.timeout(20), grpc.aio.insecure_channel(address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        async for answer in stub.Watch(health_pb2.HealthCheckRequest(), wait_for_ready=True):
            if answer.status == wanted:
                return


async def test_a_server_without_redis_answers_unavailable_and_recovers(server: str, redis: EmbeddedRedis) -> None:
    await wait_for_health(server, NOT_SERVING)
    async with PromptFlow(server, retry=RetryPolicy(patience_s=0)) as promptflow:
        start = time.monotonic()
        with pytest.raises(PromptFlowError) as caught:
            await promptflow.conditional_processing.start(text="hello", timeout=15)
        assert (caught.value.code.name, caught.value.reason) == ("UNAVAILABLE", "STORE_UNAVAILABLE")
        assert time.monotonic() - start < 15
        redis.start()
        await wait_for_health(server, SERVING)
        result = await promptflow.conditional_processing.run(text="hello", timeout=20)
        assert result.path_b is not None
        assert result.path_b.value == "filed: hello"
