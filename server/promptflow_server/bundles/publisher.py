"""Publisher: a packed bundle checked, given to every server, and taken back where Envoy would not have it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import structlog

from promptflow_codegen.bundle import Bundle, BundleError
from promptflow_codegen.pack import Unpacked, open_packed, pack
from promptflow_core.errors import FlowError, Reason, Violation
from promptflow_core.registry import ExecutorRegistry
from promptflow_server.bundles.acceptance import refusal, require_acceptable
from promptflow_server.bundles.follower import Build, Follower
from promptflow_server.bundles.served import LiveBundle, Served
from promptflow_server.gateway.edge import Edge, EdgeError, Staged
from promptflow_server.store.bundles import BundleStore

_log: Any = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Published:
    """What is served, and what was served before; equal where nothing changed."""

    digest: str
    previous: str


@dataclass(frozen=True, slots=True)
class _Offer:
    """A bundle that passed every check, and what it replaces."""

    served: Served
    packed: bytes
    staged: Staged
    before: Served
    published_before: str | None


class Publisher:
    """Makes bundles the one that every server serves; one at a time here, in one order everywhere."""

    def __init__(
        self,
        *,
        store: BundleStore,
        live: LiveBundle,
        follower: Follower,
        build: Build,
        edge: Edge,
        registry: ExecutorRegistry,
    ) -> None:
        self._store = store
        self._live = live
        self._follower = follower
        self._build = build
        self._edge = edge
        self._registry = registry
        self._in_hand: set[asyncio.Task[Published]] = set()

    async def publish(self, packed: bytes, *, validate_only: bool = False) -> Published:
        """Check a bundle and serve it from now on, here at once and on all other servers as they hear of it.

        What is served already is stored and announced again, for servers that had lost it. A publish is seen through
        to its end, though the caller goes.

        Raises:
            FlowError: BUNDLE_REFUSED with every reason, BUNDLE_CONFLICT, STORE_UNAVAILABLE; what is served stays.
        """
        task = asyncio.create_task(self._publish(packed, validate_only=validate_only))
        self._in_hand.add(task)
        task.add_done_callback(self._end)
        return await asyncio.shield(task)

    async def drain(self, grace_s: float) -> None:
        """Let what is in hand end within `grace_s`, and give up the rest."""
        if not self._in_hand:
            return
        _, late = await asyncio.wait(self._in_hand, timeout=grace_s)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    def _end(self, task: asyncio.Task[Published]) -> None:
        self._in_hand.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            _log.info("bundle_not_published", error=str(error))

    async def _publish(self, packed: bytes, *, validate_only: bool) -> Published:
        unpacked = await asyncio.to_thread(_unpack, packed)
        digest = unpacked.digest
        async with self._live.turn:
            published = await self._follower.take_published()
            before = self._live.current
            await self._require_comparable(published, digest)
            if digest == before.bundle.digest:
                await asyncio.to_thread(_bundle_of, unpacked)
                if not validate_only:
                    await self._store.publish(digest, packed, before=published)
                return Published(digest, digest)
            async with self._staging(unpacked.descriptors) as staging:
                offer = await self._checked(unpacked, packed, staging, before, published)
                if not validate_only:
                    await self._commit(offer)
            return Published(digest, before.bundle.digest)

    async def _require_comparable(self, published: str | None, digest: str) -> None:
        """Nothing, where what all serve is what is served here: with that a bundle is compared."""
        if published in (None, self._live.current.bundle.digest, digest):
            return
        # One that Redis has lost is served by nobody: whoever did would have stored it again.
        if await self._store.has(published):
            message = (
                f"`{published}` is published, but this server cannot serve it, as its log says: publish by a server "
                "that does, or bring this one to the same release and executors"
            )
            raise FlowError(Reason.BUNDLE_CONFLICT, message, metadata={"current_digest": published})

    @asynccontextmanager
    async def _staging(self, descriptors: bytes) -> AsyncGenerator[asyncio.Task[Staged]]:
        """Envoy's verdict, which is another process's work and takes longest, so it is asked for first."""
        task = asyncio.create_task(self._edge.stage(descriptors))
        try:
            yield task
        finally:
            (staged,) = await asyncio.gather(task, return_exceptions=True)
            if isinstance(staged, Staged):
                await self._edge.drop(staged)

    async def _checked(
        self,
        unpacked: Unpacked,
        packed: bytes,
        staging: asyncio.Task[Staged],
        before: Served,
        published: str | None,
    ) -> _Offer:
        try:
            # What we have against a bundle tells more than what Envoy has.
            served = await asyncio.to_thread(self._judged, unpacked, before.bundle)
            return _Offer(served, packed, await staging, before, published)
        except (BundleError, EdgeError) as error:
            raise refusal([Violation("bundle", str(error))]) from None

    def _judged(self, unpacked: Unpacked, before: Bundle) -> Served:
        bundle = unpacked.bundle()
        served = self._build(bundle)
        require_acceptable(bundle, served.contracts, before, self._registry)
        return served

    async def _commit(self, offer: _Offer) -> None:
        old, new = offer.before.bundle, offer.served.bundle
        # The way back, and what runs of the old bundle are shown by: it may lie on this server's disk alone.
        if not await self._store.has(old.digest):
            await self._store.keep(old.digest, await asyncio.to_thread(pack, old))
        await self._store.publish(new.digest, offer.packed, before=offer.published_before)
        # Server first: Envoy never knows a method that is not served.
        await self._live.swap(offer.served)
        try:
            await self._edge.put(offer.staged)
        except EdgeError as error:
            await self._store.publish(old.digest, await asyncio.to_thread(pack, old), before=new.digest)
            await self._live.swap(offer.before)
            await self._follower.put_at_the_edge(offer.before)
            raise refusal([Violation("bundle", str(error))]) from None
        _log.info("bundle_published", digest=new.digest, previous=old.digest, flows=len(new.plans))


def _unpack(packed: bytes) -> Unpacked:
    try:
        return open_packed(packed)
    except BundleError as error:
        raise refusal([Violation("bundle", str(error))]) from None


def _bundle_of(unpacked: Unpacked) -> Bundle:
    try:
        return unpacked.bundle()
    except BundleError as error:
        raise refusal([Violation("bundle", str(error))]) from None
