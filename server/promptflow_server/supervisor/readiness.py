"""Probes: a gRPC server, an HTTP answer, a worker's lease. Each answers within its time and never raises."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import grpc
import httpx
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from redis.exceptions import ResponseError

from promptflow_core import keys
from promptflow_core.errors import FlowError
from promptflow_server.supervisor.part import Probe
from promptflow_workers.dispatch.link import Link

PROBE_TIMEOUT_S = 2.0


def grpc_serves(address: str) -> Probe:
    """Whether the standard health service at `address` says SERVING for the whole server."""

    async def probe(pid: int) -> bool:
        del pid
        # A channel each: one that failed once waits longer and longer before it tries again.
        async with grpc.aio.insecure_channel(address) as channel:
            check: Any = channel.unary_unary(
                "/grpc.health.v1.Health/Check",
                request_serializer=HealthCheckRequest.SerializeToString,
                response_deserializer=HealthCheckResponse.FromString,
            )
            try:
                answer: HealthCheckResponse = await check(HealthCheckRequest(), timeout=PROBE_TIMEOUT_S)
            except grpc.aio.AioRpcError:
                return False
        return answer.status == HealthCheckResponse.SERVING

    return probe


def http_answers(*urls: str) -> Probe:
    """Whether every url is answered with success."""

    async def probe(pid: int) -> bool:
        del pid
        async with httpx.AsyncClient(timeout=PROBE_TIMEOUT_S, trust_env=False) as client:
            try:
                answers = [await client.get(url) for url in urls]
            except httpx.HTTPError:
                return False
        return all(answer.is_success for answer in answers)

    return probe


def worker_beats(redis_url: str, queues: Sequence[str]) -> Probe:
    """Whether the worker process keeps a lease on one of its queues.

    A worker beats while its models are still fetched and loaded, however long that takes.
    """

    async def probe(pid: int) -> bool:
        async with Link(redis_url) as link:
            try:
                for queue in queues:
                    # See queue.lua; a worker's name is HOST-PID-SUFFIX, which tells it from those before it.
                    workers = await link.execute("ZRANGE", keys.workers(queue), 0, -1, patience_s=PROBE_TIMEOUT_S)
                    if any(f"-{pid}-".encode() in worker for worker in workers):
                        return True
            except (FlowError, ResponseError):
                return False
        return False

    return probe
