"""Before a method is unknown: whether a newer bundle has it, or an older one had it.

Another server may have swapped some milliseconds earlier, and Envoy may know already what this one does not. Runs of
a flow that is served no longer are still shown, followed and ended.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

import grpc

from promptflow_core.errors import FlowError
from promptflow_server.services.contracts import FlowContract

OF_OLD_RUNS = frozenset({"GetStatus", "Watch", "Cancel", "WatchHttp"})
"""Methods of a flow that is served no longer."""

MethodsOf = Callable[[FlowContract], Mapping[str, Any]]


class CatchUp(Protocol):
    """Looks for a newer bundle."""

    async def catch_up(self) -> bool:
        """Whether a newer one is served now."""
        ...


class Retired(Protocol):
    """Knows the flows of older bundles."""

    async def retired(self, service: str) -> FlowContract | None:
        """The flow behind a service."""
        ...


class MissInterceptor(grpc.aio.ServerInterceptor):
    """Looks once more where a method is not there."""

    def __init__(self, follower: CatchUp, archive: Retired, methods_of: MethodsOf) -> None:
        self._follower = follower
        self._archive = archive
        self._methods_of = methods_of

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """The handler of one call."""
        handler = await continuation(handler_call_details)
        if handler is not None:
            return handler
        service, _, method = str(handler_call_details.method).removeprefix("/").rpartition("/")
        try:
            if await self._follower.catch_up():
                handler = await continuation(handler_call_details)
            if handler is None and method in OF_OLD_RUNS:
                contract = await self._archive.retired(service)
                handler = None if contract is None else self._methods_of(contract).get(method)
        except FlowError:
            return None
        return handler
