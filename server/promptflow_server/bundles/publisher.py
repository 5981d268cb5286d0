"""Publisher: a packed bundle checked, given to every server, and taken back where Envoy would not have it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import structlog

from promptflow_codegen.bundle import Bundle, BundleError
from promptflow_codegen.pack import pack, unpack
from promptflow_core.errors import Violation
from promptflow_core.registry import ExecutorRegistry
from promptflow_server.bundles.follower import Build, Follower
from promptflow_server.bundles.served import LiveBundle, Served
from promptflow_server.bundles.verdict import judge, refusal
from promptflow_server.gateway.edge import Edge
from promptflow_server.gateway.envoy import GatewayError
from promptflow_server.gateway.xds import Candidate
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
    candidate: Candidate
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

    async def publish(self, packed: bytes, *, validate_only: bool = False) -> Published:
        """Check a bundle and serve it from now on, here at once and on all other servers as they hear of it.

        Publishing what is served already changes nothing. Once the store has it, it is seen through to the end, though
        the caller goes.

        Raises:
            FlowError: BUNDLE_REFUSED with every reason, BUNDLE_CONFLICT, STORE_UNAVAILABLE; what is served stays.
        """
        bundle = await asyncio.to_thread(_unpack, packed)
        task = asyncio.create_task(self._publish(bundle, packed, validate_only=validate_only))
        task.add_done_callback(_tell_of_left_publish)
        return await asyncio.shield(task)

    async def _publish(self, bundle: Bundle, packed: bytes, *, validate_only: bool) -> Published:
        async with self._live.turn:
            published = await self._follower.take_published()
            before = self._live.current
            if bundle.digest in (published, before.bundle.digest) and published in (None, bundle.digest):
                if published is None and not validate_only:
                    await self._store.publish(bundle.digest, packed, before=None)
                return Published(bundle.digest, bundle.digest)
            offer = await self._checked(bundle, packed, before, published)
            if not validate_only:
                await self._commit(offer)
            return Published(bundle.digest, before.bundle.digest)

    async def _checked(self, bundle: Bundle, packed: bytes, before: Served, published: str | None) -> _Offer:
        try:
            served = await asyncio.to_thread(self._build, bundle)
            staging = asyncio.create_task(self._edge.stage(bundle.descriptors))
            try:
                await asyncio.to_thread(judge, bundle, served.contracts, before.bundle, self._registry)
            finally:
                # Envoy's verdict is another process's work; what we have against a bundle tells more than Envoy.
                await asyncio.wait([staging])
            candidate = staging.result()
        except (BundleError, GatewayError) as error:
            raise refusal([Violation("bundle", str(error))]) from None
        return _Offer(served, packed, candidate, before, published)

    async def _commit(self, offer: _Offer) -> None:
        old, new = offer.before.bundle, offer.served.bundle
        # The way back, and what runs of the old bundle are shown by: it may lie on this server's disk alone.
        if not await self._store.has(old.digest):
            await self._store.keep(old.digest, await asyncio.to_thread(pack, old))
        await self._store.publish(new.digest, offer.packed, before=offer.published_before)
        # Server first: Envoy never knows a method that is not served.
        await self._live.swap(offer.served)
        try:
            await self._edge.put(offer.candidate)
        except (GatewayError, OSError) as error:
            await self._store.publish(old.digest, await asyncio.to_thread(pack, old), before=new.digest)
            await self._live.swap(offer.before)
            await self._follower.put_at_the_edge(offer.before)
            raise refusal([Violation("bundle", str(error))]) from None
        _log.info("bundle_published", digest=new.digest, previous=old.digest, flows=len(new.plans))


def _unpack(packed: bytes) -> Bundle:
    try:
        return unpack(packed)
    except BundleError as error:
        raise refusal([Violation("bundle", str(error))]) from None


def _tell_of_left_publish(task: asyncio.Task[Published]) -> None:
    error = None if task.cancelled() else task.exception()
    if error is not None:
        _log.info("bundle_not_published", error=str(error))
