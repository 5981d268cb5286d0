"""Follower: brings this process to the bundle that was published, whoever published it and whenever."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import structlog

from promptflow_codegen.bundle import Bundle, BundleError
from promptflow_codegen.pack import pack, unpack
from promptflow_core.errors import FlowError, Reason
from promptflow_server.bundles.served import LiveBundle, Served
from promptflow_server.gateway.edge import Edge, EdgeError
from promptflow_server.store.bundles import BundleStore

LOOK_S = 2.0
SWEEP_S = 600.0
KEEP_S = 1.0
LOOK_PATIENCE_S = 1.0
CATCH_UP_WITHIN_S = 10.0
"""How long who asks for a look waits for it: a swap that is under way comes first."""

Build = Callable[[Bundle], Served]
"""Makes a bundle ready to be served. Blocking; raises BundleError, whatever is wrong with it."""

_log: Any = structlog.get_logger(__name__)


class Follower:
    """Looks for a new bundle on each push, every `look_s` in case a push was lost, and whenever it is asked to.

    A published bundle that cannot be served here (it is of a newer release) is logged, and the old one serves on; it
    is tried again when it is announced again. Only `run` looks, so that nothing of it outlives `run`.
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
        self._asked: list[asyncio.Future[None]] = []
        self._refused: str | None = None
        self._has_looked = False
        self._is_kept = asyncio.Event()
        self._is_over = False

    async def run(self) -> None:
        """Follow until cancelled."""
        stop_listening = self._store.announced(self._hear)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._keep_forever())
                group.create_task(self._sweep_forever())
                await self._look()
                # Envoy too begins with what is served, where the look has not changed that.
                async with self._live.turn:
                    await self.put_at_the_edge(self._live.current)
                while True:
                    await self._wait()
                    await self._look()
        finally:
            self._is_over = True
            stop_listening()
            _answer(self._asked, _leaving())

    async def ready(self) -> None:
        """Return once Redis has been asked what is published, and has what is served.

        Raises:
            FlowError: STORE_UNAVAILABLE.
        """
        if not self._has_looked:
            await self.catch_up()
        await self._is_kept.wait()

    async def catch_up(self) -> bool:
        """Serve what is published now, and answer whether it is another bundle than before; callers share a look.

        Raises:
            FlowError: STORE_UNAVAILABLE; also where no look came to its end in time, or `run` has ended.
        """
        if self._is_over:
            raise _leaving()
        before = self._live.current
        # A look that is under way may have read what was published before.
        look: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._asked.append(look)
        self._has_news.set()
        try:
            async with asyncio.timeout(CATCH_UP_WITHIN_S):
                await look
        except TimeoutError:
            message = "the server did not learn in time which bundle is published; send the request again"
            raise FlowError(Reason.STORE_UNAVAILABLE, message) from None
        return self._live.current is not before

    async def take_published(self) -> str | None:
        """Serve what is published, for who holds the turn; answers its digest, though it cannot be served here.

        Raises:
            FlowError: STORE_UNAVAILABLE.
        """
        digest = await self._store.current(patience_s=LOOK_PATIENCE_S)
        if digest not in (None, self._live.current.bundle.digest, self._refused):
            await self._take(digest)
        self._has_looked = True
        return digest

    async def put_at_the_edge(self, served: Served) -> None:
        """Have Envoy serve a bundle too, for who holds the turn; where it cannot, that is logged: gRPC serves on."""
        try:
            await self._edge.put(await self._edge.stage(served.bundle.descriptors))
        except EdgeError as error:
            _log.error("edge_keeps_the_old_bundle", digest=served.bundle.digest, error=str(error))

    def _hear(self, message: bytes | None) -> None:
        del message
        self._refused = None
        self._has_news.set()

    async def _look(self) -> None:
        self._has_news.clear()
        asked, self._asked = self._asked, []
        problem: FlowError | None = _leaving()
        try:
            async with self._live.turn:
                await self.take_published()
            problem = None
        except FlowError as error:
            _log.warning("bundles_not_reachable", error=str(error))
            problem = error
        finally:
            _answer(asked, problem)

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
        await self._live.swap(served)
        _log.info("bundle_served", digest=digest, flows=len(served.bundle.plans))
        await self.put_at_the_edge(served)

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(self._look_s):
                await self._has_news.wait()
        except TimeoutError:
            return

    async def _keep_forever(self) -> None:
        """See that Redis has what is served, though it lost all: other servers read by it the runs that begin here."""
        while True:
            bundle = self._live.current.bundle
            try:
                if not await self._store.has(bundle.digest):
                    self._is_kept.clear()
                    await self._store.keep(bundle.digest, await asyncio.to_thread(pack, bundle))
                self._is_kept.set()
            except FlowError:
                # The look for what is published meets the same, and logs it.
                self._is_kept.clear()
            await asyncio.sleep(KEEP_S)

    async def _sweep_forever(self) -> None:
        """Forget what nobody serves and no run pins."""
        while True:
            try:
                await self._store.sweep([self._live.current.bundle.digest])
            except FlowError as error:
                _log.warning("bundles_not_swept", error=str(error))
            await asyncio.sleep(SWEEP_S)


def _answer(asked: list[asyncio.Future[None]], problem: FlowError | None) -> None:
    for look in asked:
        if look.done():
            continue
        if problem is None:
            look.set_result(None)
        else:
            look.set_exception(problem)


def _leaving() -> FlowError:
    return FlowError(Reason.STORE_UNAVAILABLE, "the server is leaving; send the request again")
