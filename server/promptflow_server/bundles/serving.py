"""What a server does with bundles, put together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from promptflow_codegen.bundle import Bundle
from promptflow_core.registry import ExecutorRegistry
from promptflow_server.bundles.archive import Archive
from promptflow_server.bundles.follower import Build, Follower
from promptflow_server.bundles.publisher import Publisher
from promptflow_server.bundles.served import LiveBundle, Served
from promptflow_server.gateway.edge import Edge
from promptflow_server.services.all_services import Backend, all_handlers
from promptflow_server.services.contracts import Contracts
from promptflow_server.store.bundles import BundleStore


@dataclass(frozen=True, slots=True)
class BundleServing:
    """The bundle that is served, and what puts another in its place."""

    live: LiveBundle
    archive: Archive
    follower: Follower
    publisher: Publisher
    build: Build

    @classmethod
    def of(cls, store: BundleStore, archive: Archive, backend: Backend, edge: Edge, registry: ExecutorRegistry) -> Self:
        """Put them together; `begin` comes next."""

        def build(bundle: Bundle) -> Served:
            contracts = Contracts.of(bundle)
            return Served(bundle, contracts, all_handlers(bundle, contracts, backend))

        live = LiveBundle()
        live.on_swap(archive.put)
        follower = Follower(store, live, build, edge)
        publisher = Publisher(store=store, live=live, follower=follower, build=build, edge=edge, registry=registry)
        return cls(live, archive, follower, publisher, build)

    def begin(self, bundle: Bundle) -> None:
        """Serve the first bundle.

        Raises:
            BundleError: it does not hold together.
        """
        served = self.build(bundle)
        self.live.begin(served)
        self.archive.put(served)
