"""Probes: a gRPC server, an HTTP answer. Each answers within its time and never raises."""

from __future__ import annotations

from typing import Any

import grpc
import httpx
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from promptflow_server.supervisor.part import Probe

PROBE_TIMEOUT_S = 2.0


def grpc_serves(address: str) -> Probe:
    """Whether the standard health service at `address` says SERVING for the whole server."""

    async def probe() -> bool:
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

    async def probe() -> bool:
        async with httpx.AsyncClient(timeout=PROBE_TIMEOUT_S, trust_env=False) as client:
            try:
                answers = [await client.get(url) for url in urls]
            except httpx.HTTPError:
                return False
        return all(answer.is_success for answer in answers)

    return probe
