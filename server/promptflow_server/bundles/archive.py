"""Bundles that runs began with: as long as a run pins one, it is driven and shown by it."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from promptflow_codegen.bundle import Bundle, BundleError, load_bundle
from promptflow_codegen.pack import unpack
from promptflow_codegen.plan import FlowPlan
from promptflow_core.errors import FlowError, Reason
from promptflow_server.bundles.served import Served
from promptflow_server.services.contracts import Contracts, FlowContract
from promptflow_server.store.bundles import BundleStore

KEPT = 6
"""Bundles that are kept in memory, beside the one that is served."""

Held = tuple[Bundle, Contracts]


class Archive:
    """Bundles by digest: those that this process served, those on its disk, and those in Redis."""

    def __init__(self, folder: Path, store: BundleStore) -> None:
        self._folder = folder
        self._store = store
        self._held: OrderedDict[str, Held] = OrderedDict()
        self._services: dict[str, frozenset[str]] = {}
        self._loading = asyncio.Lock()
        self._served: Held | None = None

    def put(self, served: Served) -> None:
        """Have the bundle at hand that is served from now on; the one before stays as others do."""
        self._served = served.bundle, served.contracts
        self._put(*self._served)

    def _put(self, bundle: Bundle, contracts: Contracts) -> None:
        self._held[bundle.digest] = bundle, contracts
        self._held.move_to_end(bundle.digest)
        self._services[bundle.digest] = frozenset(contracts.services)
        while len(self._held) > KEPT:
            self._held.popitem(last=False)

    async def plan(self, digest: str, flow: str, version: int) -> FlowPlan:
        """The plan that a run pins.

        Raises:
            FlowError: FLOW_NOT_FOUND, STORE_UNAVAILABLE.
        """
        bundle, _ = await self._find(digest)
        plan = bundle.plan(flow, version)
        if plan is None:
            raise _no_flow(digest, flow, version)
        return plan

    async def contract(self, digest: str, flow: str, version: int) -> FlowContract:
        """The messages that a run pins.

        Raises:
            FlowError: FLOW_NOT_FOUND, STORE_UNAVAILABLE.
        """
        _, contracts = await self._find(digest)
        with _damage_told():
            found = contracts.of_flow(flow, version)
        if found is None:
            raise _no_flow(digest, flow, version)
        return found

    async def retired(self, service: str) -> FlowContract | None:
        """The flow behind a service that is served no longer, from the youngest bundle that has it.

        Raises:
            FlowError: STORE_UNAVAILABLE.
        """
        stored = await self._store.stored()
        self._services = {digest: self._services[digest] for digest in stored if digest in self._services}
        for digest in stored:
            try:
                if service in await self._services_of(digest):
                    _, contracts = await self._find(digest)
                    with _damage_told():
                        return contracts.flow(service)
            except FlowError as error:
                if error.record.reason is Reason.STORE_UNAVAILABLE:
                    raise
                self._services[digest] = frozenset()
        return None

    async def _services_of(self, digest: str) -> frozenset[str]:
        if digest not in self._services:
            _, contracts = await self._find(digest)
            self._services[digest] = frozenset(contracts.services)
        return self._services[digest]

    async def _find(self, digest: str) -> Held:
        if self._served is not None and self._served[0].digest == digest:
            return self._served
        held = self._held.get(digest)
        if held is None:
            async with self._loading:
                held = self._held.get(digest) or await self._load(digest)
        if digest in self._held:
            self._held.move_to_end(digest)
        return held

    async def _load(self, digest: str) -> Held:
        try:
            bundle, contracts = await asyncio.to_thread(_from_disk, self._folder, digest)
        except BundleError as error:
            packed = await self._store.get(digest)
            if packed is None:
                raise FlowError(Reason.FLOW_NOT_FOUND, f"{error}; nor does Redis have it") from None
            with _damage_told():
                bundle, contracts = await asyncio.to_thread(_unpacked, packed)
        self._put(bundle, contracts)
        return bundle, contracts


def _from_disk(folder: Path, digest: str) -> Held:
    bundle = load_bundle(folder, digest)
    return bundle, Contracts.of(bundle)


def _unpacked(packed: bytes) -> Held:
    bundle = unpack(packed)
    return bundle, Contracts.of(bundle)


@contextmanager
def _damage_told() -> Generator[None]:
    """A bundle that cannot be used as the error that callers know."""
    try:
        yield
    except BundleError as error:
        raise FlowError(Reason.FLOW_NOT_FOUND, str(error)) from None


def _no_flow(digest: str, flow: str, version: int) -> FlowError:
    return FlowError(Reason.FLOW_NOT_FOUND, f"bundle {digest} has no flow `{flow}` v{version}")
