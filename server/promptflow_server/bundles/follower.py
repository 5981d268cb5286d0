"""Follower: brings this process to the bundle that was published, whoever published it and whenever."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import structlog

from promptflow_codegen.bundle import Bundle, BundleError
from promptflow_codegen.pack import pack, unpack
from promptflow_core.errors import FlowError
from promptflow_server.bundles.served import LiveBundle, Served
from promptflow_server.gateway.edge import Edge
from promptflow_server.gateway.envoy import GatewayError
from promptflow_server.store.bundles import BundleStore

LOOK_S = 2.0
SWEEP_S = 600.0
LOOK_PATIENCE_S = 1.0

Build = Callable[[Bundle], Served]
"""Makes a bundle ready to be served. Blocking; raises BundleError."""

_log: Any = structlog.get_logger(__name__)


class Follower:
    """Looks for a new bundle on each push, every `look_s` in case a push was lost, and whenever it is asked to.

    A published bundle that cannot be served here (it is of a newer release) is logged once; the old one serves on.
    """

    def __init__(
        self, store: BundleStore, live: LiveBundle, build: Build, edge: Edge, *, look_s: float = LOOK_S
    ) -> None:
        self._store = store
        self._live = live
        self._build = build
        self._edge = edge
        self._look_s = look_s
        self._has_news = asyncio.Event()
        self._refused: str | None = None
        self._has_looked = False
        self._looking: asyncio.Task[bool] | None = None

    async def run(self) -> None:
        """Follow until cancelled."""
        stop_listening = self._store.announced(lambda _: self._has_news.set())
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._sweep_forever())
                while True:
                    await self._look()
                    await self._wait()
        finally:
            stop_listening()

    async def first_look(self) -> None:
        """Return once Redis has been asked what is published.

        Raises:
            FlowError: STORE_UNAVAILABLE.
        """
        if not self._has_looked:
            await self.catch_up()

    async def catch_up(self) -> bool:
        """Serve what is published, and answer whether it is another bundle than before; callers share one look.

        Raises:
            FlowError: STORE_UNAVAILABLE.
        """
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._catch_up())
        return await asyncio.shield(self._looking)

    async def take_published(self) -> str | None:
        """As `catch_up`, for who holds the turn already; answers the digest that is published, if any is.

        Raises:
            FlowError: STORE_UNAVAILABLE.
        """
        digest = await self._store.current(patience_s=LOOK_PATIENCE_S)
        if digest not in (None, self._live.current.bundle.digest, self._refused):
            await self._take(digest)
        self._has_looked = True
        return digest

    async def _catch_up(self) -> bool:
        async with self._live.turn:
            before = self._live.current
            await self.take_published()
            return self._live.current is not before

    async def _take(self, digest: str) -> None:
        packed = await self._store.get(digest)
        try:
            if packed is None:
                raise BundleError(f"bundle {digest} is published, but Redis does not have it; publish it again")
            served = await asyncio.to_thread(lambda: self._build(unpack(packed)))
        except BundleError as error:
            self._refused = digest
            _log.error("published_bundle_cannot_be_served", digest=digest, error=str(error))
            return
        self._refused = None
        await self._live.swap(served)
        _log.info("bundle_served", digest=digest, flows=len(served.bundle.plans))
        await self.put_at_the_edge(served)

    async def put_at_the_edge(self, served: Served) -> None:
        """Have Envoy serve a bundle too; where it cannot, that is logged, and gRPC serves it all the same."""
        try:
            await self._edge.put(await self._edge.stage(served.bundle.descriptors))
        except (GatewayError, OSError) as error:
            _log.error("edge_keeps_the_old_bundle", digest=served.bundle.digest, error=str(error))

    async def _look(self) -> None:
        self._has_news.clear()
        try:
            await self.catch_up()
        except FlowError as error:
            _log.warning("bundles_not_reachable", error=str(error))

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(self._look_s):
                await self._has_news.wait()
        except TimeoutError:
            return

    async def _sweep_forever(self) -> None:
        """Keep what is served in Redis for those who have it not on disk; forget what no run pins."""
        kept: str | None = None
        while True:
            bundle = self._live.current.bundle
            try:
                if kept != bundle.digest:
                    await self._store.keep(bundle.digest, await asyncio.to_thread(pack, bundle))
                    kept = bundle.digest
                await self._store.sweep([bundle.digest])
            except FlowError as error:
                _log.warning("bundles_not_swept", error=str(error))
            await asyncio.sleep(SWEEP_S if kept else self._look_s)
