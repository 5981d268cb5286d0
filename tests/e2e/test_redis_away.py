"""A server that starts before its Redis: it says so, and serves as soon as it can."""

from __future__ import annotations

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
from tests.e2e.system import ROOT, free_ports

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
    address = f"127.0.0.1:{free_ports(1)}"
    url = redis.start()
    redis.close()
    environment = {**os.environ, "PROMPTFLOW_REDIS_URL": url, "PROMPTFLOW_DATA_DIR": str(tmp_path)}
    command = [sys.executable, "-m", "promptflow_server.cli", "server", "--project", str(ROOT), "--address", address]
    process = subprocess.Popen(command, env=environment)
    try:
        yield address
    finally:
        process.terminate()
        assert process.wait(20) == 0


def health(address: str) -> int:
    """What grpc.health.v1 says of the whole server."""
    with grpc.insecure_channel(address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=20, wait_for_ready=True)
        return int(answer.status)


async def test_a_server_without_redis_answers_unavailable_and_recovers(server: str, redis: EmbeddedRedis) -> None:
    assert health(server) == NOT_SERVING
    async with PromptFlow(server, retry=RetryPolicy(patience_s=0)) as promptflow:
        start = time.monotonic()
        with pytest.raises(PromptFlowError) as caught:
            await promptflow.conditional_processing.start(text="hello", timeout=15)
        assert (caught.value.code.name, caught.value.reason) == ("UNAVAILABLE", "STORE_UNAVAILABLE")
        assert time.monotonic() - start < 15
        redis.start()
        deadline = time.monotonic() + 20
        while health(server) != SERVING:
            assert time.monotonic() < deadline
        result = await promptflow.conditional_processing.run(text="hello", timeout=20)
        assert result.path_b is not None
        assert result.path_b.value == "filed: hello"
