"""Before a method is unknown: whether a newer bundle has it, or an older one had it.

Another server may have swapped some milliseconds earlier, and Envoy may know already what this one does not. Runs of
a flow that is served no longer are still shown, followed and ended.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol, TypeVar

import grpc

from promptflow_codegen.bundle import BundleError
from promptflow_core.errors import FlowError, Reason
from promptflow_server.services.contracts import FlowContract

OF_OLD_RUNS = frozenset({"GetStatus", "Watch", "Cancel", "WatchHttp"})
"""Methods of a flow that is served no longer."""

KEPT_FLOWS = 64
"""Flows that are served no longer whose handlers are kept."""

UNKNOWN_FOR_S = 1.0
KEPT_UNKNOWN = 1024
"""A method that nobody has is looked for once in a while, not with every call."""

K = TypeVar("K")
V = TypeVar("V")

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
    """Looks once more where a method is not there; where that cannot be done, the call fails and says so."""

    def __init__(
        self,
        follower: CatchUp,
        archive: Retired,
        methods_of: MethodsOf,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._follower = follower
        self._archive = archive
        self._methods_of = methods_of
        self._monotonic = monotonic
        self._old: OrderedDict[tuple[str, str], Mapping[str, Any]] = OrderedDict()
        self._unknown: OrderedDict[str, float] = OrderedDict()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """The handler of one call."""
        try:
            handler = await continuation(handler_call_details)
            if handler is None:
                handler = await self._look(continuation, handler_call_details)
        except FlowError as error:
            return _failing(error)
        except BundleError as error:
            return _failing(FlowError(Reason.INTERNAL, str(error)))
        return handler

    async def _look(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        details: grpc.HandlerCallDetails,
    ) -> Any:
        path = str(details.method)
        if self._unknown.get(path, 0.0) > self._monotonic():
            return None
        handler = await continuation(details) if await self._follower.catch_up() else None
        if handler is None:
            service, _, method = path.removeprefix("/").rpartition("/")
            handler = (await self._old_methods(service)).get(method) if method in OF_OLD_RUNS else None
        if handler is None:
            _keep(self._unknown, path, self._monotonic() + UNKNOWN_FOR_S, KEPT_UNKNOWN)
        return handler

    async def _old_methods(self, service: str) -> Mapping[str, Any]:
        contract = await self._archive.retired(service)
        if contract is None:
            return {}
        key = (contract.digest, service)
        return _keep(self._old, key, self._old.get(key) or self._methods_of(contract), KEPT_FLOWS)


def _keep(kept: OrderedDict[K, V], key: K, value: V, most: int) -> V:
    """Put an entry as the newest, and let go of the oldest where there are too many."""
    kept[key] = value
    kept.move_to_end(key)
    while len(kept) > most:
        kept.popitem(last=False)
    return value


def _failing(error: FlowError) -> Any:
    """A handler of any method that fails with this error."""

    async def fail(requests: Any, context: Any) -> None:
        del requests, context
        raise error

    make: Any = grpc.stream_stream_rpc_method_handler
    return make(fail)
