"""grpc.health.v1: what load balancers and Envoy ask, per service and for the server as a whole."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import grpc
from grpc_health.v1 import health, health_pb2

from promptflow_core.errors import FlowError
from promptflow_server.services.flow_health import Ping

PERIOD_S = 1.0
DEADLINE_S = 2.0

_SERVICE = "grpc.health.v1.Health"
_SERVING, _NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


class ServingStatus:
    """NOT_SERVING until Redis has answered, whenever it does not, and from `leave` on."""

    def __init__(self, services: Iterable[str]) -> None:
        self._services = ("", *services)
        self._servicer = health.aio.HealthServicer()

    async def handler(self) -> grpc.GenericRpcHandler:
        """The health service, which begins as NOT_SERVING."""
        await self._set(is_serving=False)
        methods = {
            "Check": grpc.unary_unary_rpc_method_handler(
                self._servicer.Check,
                health_pb2.HealthCheckRequest.FromString,
                health_pb2.HealthCheckResponse.SerializeToString,
            ),
            "Watch": grpc.unary_stream_rpc_method_handler(
                self._servicer.Watch,
                health_pb2.HealthCheckRequest.FromString,
                health_pb2.HealthCheckResponse.SerializeToString,
            ),
        }
        return grpc.method_handlers_generic_handler(_SERVICE, methods)

    async def follow(self, ping: Ping, *, period_s: float = PERIOD_S) -> None:
        """Ask Redis again and again and say so, until cancelled."""
        while True:
            await self._set(is_serving=await _answers(ping))
            await asyncio.sleep(period_s)

    async def leave(self) -> None:
        """NOT_SERVING from now on."""
        await self._servicer.enter_graceful_shutdown()

    async def _set(self, *, is_serving: bool) -> None:
        for service in self._services:
            await self._servicer.set(service, _SERVING if is_serving else _NOT_SERVING)


async def _answers(ping: Ping) -> bool:
    try:
        async with asyncio.timeout(DEADLINE_S):
            await ping()
    except (FlowError, TimeoutError):
        return False
    return True
