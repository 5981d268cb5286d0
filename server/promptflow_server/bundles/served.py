"""One bundle ready to be served, and the place where the current one stands."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import grpc

from promptflow_codegen.bundle import Bundle
from promptflow_server.services.contracts import Contracts

OnSwap = Callable[["Served"], Awaitable[None] | None]


@dataclass(frozen=True, slots=True)
class Served:
    """A bundle, its flows as messages, and the handlers of all its services."""

    bundle: Bundle
    contracts: Contracts
    handlers: Sequence[grpc.GenericRpcHandler]

    def find(self, details: grpc.HandlerCallDetails) -> Any:
        """The handler of a method; None: this bundle does not have it."""
        for handler in self.handlers:
            found = handler.service(details)
            if found is not None:
                return found
        return None


class LiveBundle(grpc.GenericRpcHandler):
    """The handlers of whatever bundle is served now. `turn` is held by whoever is about to change it."""

    def __init__(self) -> None:
        self._served: Served | None = None
        self._on_swap: list[OnSwap] = []
        self.turn = asyncio.Lock()

    @property
    def current(self) -> Served:
        """What is served now."""
        if self._served is None:
            raise RuntimeError("`begin` comes first")
        return self._served

    def begin(self, served: Served) -> None:
        """Serve the first bundle."""
        self._served = served

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """The handler of a method, as the bundle of this moment has it."""
        return self.current.find(handler_call_details)

    def on_swap(self, listener: OnSwap) -> None:
        """Call `listener` after each swap."""
        self._on_swap.append(listener)

    async def swap(self, served: Served) -> None:
        """Serve `served` from now on; calls in flight end on what they began with."""
        self._served = served
        for listener in self._on_swap:
            answer = listener(served)
            if answer is not None:
                await answer
