"""grpc.health.v1: what load balancers and Envoy ask, per service and for the server as a whole."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

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
        self._services = frozenset(("", *services))
        self._is_serving = False
        self._servicer = health.aio.HealthServicer()

    async def handler(self) -> grpc.GenericRpcHandler:
        """The health service, which begins as NOT_SERVING."""
        await self._say(self._services)
        methods = {
            "Check": grpc.unary_unary_rpc_method_handler(
                self._check,
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

    async def serve(self, services: Iterable[str]) -> None:
        """Tell of these services from now on; who watches one that is gone hears that it is unknown."""
        before, self._services = self._services, frozenset(("", *services))
        await self._say(self._services - before)
        for service in before - self._services:
            await self._servicer.set(service, health_pb2.HealthCheckResponse.SERVICE_UNKNOWN)

    async def follow(self, ping: Ping, *, period_s: float = PERIOD_S) -> None:
        """Ask Redis again and again and say so, until cancelled."""
        while True:
            is_serving = await _answers(ping)
            if is_serving != self._is_serving:
                self._is_serving = is_serving
                await self._say(self._services)
            await asyncio.sleep(period_s)

    async def leave(self) -> None:
        """NOT_SERVING from now on."""
        await self._servicer.enter_graceful_shutdown()

    async def _check(self, request: Any, context: Any) -> Any:
        if request.service not in self._services:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such service is served")
        return await self._servicer.Check(request, context)

    async def _say(self, services: Iterable[str]) -> None:
        for service in services:
            await self._servicer.set(service, _SERVING if self._is_serving else _NOT_SERVING)


async def _answers(ping: Ping) -> bool:
    try:
        async with asyncio.timeout(DEADLINE_S):
            await ping()
    except (FlowError, TimeoutError):
        return False
    return True
