"""The server process: what it is composed of, how it starts, how it ends.

It comes up whether or not Redis is there and says by its health when it serves. On SIGTERM or SIGINT it says that it
leaves, refuses new calls, lets calls and runs in hand end for a while, gives the rest to other servers, and returns.
"""

from __future__ import annotations

import asyncio
import errno
import os
import secrets
import signal
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Self

import grpc
import structlog
from redis.exceptions import ResponseError

from promptflow_codegen.bundle import Bundle, BundleError, load_bundle
from promptflow_codegen.pack import unpack
from promptflow_codegen.project import Project
from promptflow_core.errors import FlowError, Reason
from promptflow_core.registry import ExecutorRegistry
from promptflow_core.settings import Settings
from promptflow_server.bundles.archive import Archive
from promptflow_server.bundles.on_a_miss import MissInterceptor
from promptflow_server.bundles.serving import BundleServing
from promptflow_server.engine.file_sweep import FileSweep
from promptflow_server.engine.runner import FlowEngine
from promptflow_server.gateway.edge import Edge
from promptflow_server.services import compression
from promptflow_server.services.admission import Admission
from promptflow_server.services.all_services import Backend, methods_of, service_names
from promptflow_server.services.callee_checks import CalleeChecks
from promptflow_server.services.flow_service import PublishHandler
from promptflow_server.services.interceptor import ErrorInterceptor
from promptflow_server.services.planning import costs_by
from promptflow_server.services.serving_status import ServingStatus
from promptflow_server.store.bundles import BundleStore
from promptflow_server.store.state import StateManager
from promptflow_workers.dispatch.blobs import BlobStore
from promptflow_workers.dispatch.calls import RedisCallDispatch
from promptflow_workers.dispatch.link import Link
from promptflow_workers.dispatch.runs import RedisRunDispatch

GRACE_S = 10.0
RUN_SLOTS = 1_000
PING_PATIENCE_S = 1.0
FIRST_LOOK_S = 1.0
SMALLEST_PING_INTERVAL_MS = 1_000
KEEPALIVE_MS, KEEPALIVE_TIMEOUT_MS = 30_000, 10_000
MAX_HEADERS_BYTES = 64 << 10

_CHOOSE = "stop what listens there, or choose another with `--address`"

_log = structlog.get_logger(__name__)


async def run_server(settings: Settings, *, project: Project, address: str, edge: Edge | None = None) -> None:
    """Serve at `address`, without TLS, until SIGTERM or SIGINT: what was published last, else the project's flows.

    Raises:
        BundleError: neither Redis nor the project has a bundle, or it is damaged.
        OSError: the address cannot be had; the message says what to do.
        ValueError, ImportError: an executor cannot be loaded.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        async with Link(settings.redis_url) as link:
            bundle = await _first_bundle(settings, project.bundles_dir, link)
            app = ServerApp.of(settings, bundle, project.bundles_dir, link, edge=edge)
            await app.serve(address, stop)
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


@dataclass(frozen=True, slots=True)
class ServerApp:
    """The parts of one server process, put together but not started."""

    engine: FlowEngine
    server: grpc.aio.Server
    status: ServingStatus
    calls: RedisCallDispatch
    redis: RedisPing
    bundles: BundleServing

    @classmethod
    def of(cls, settings: Settings, bundle: Bundle, bundles_dir: Path, link: Link, *, edge: Edge | None = None) -> Self:
        """Compose a server that begins with one bundle; `link` stays the caller's to close.

        Raises:
            BundleError: the bundle does not hold together.
            ValueError, ImportError: an executor cannot be loaded.
        """
        server_id = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        registry = ExecutorRegistry.load(settings.executors)
        store = BundleStore(link, keep_s=settings.keep_finished_s)
        archive = Archive(bundles_dir, store)
        files, calls, redis = BlobStore(settings.files_dir), RedisCallDispatch(link, server_id), RedisPing(link)
        engine = _engine(
            settings, link, server_id=server_id, registry=registry, archive=archive, files=files, calls=calls
        )
        backend = Backend(
            engine,
            Admission(engine, files, max_file_bytes=settings.max_file_bytes),
            calls,
            redis.ping,
            contract_of=archive.contract,
            cost_of=costs_by(registry),
        )
        bundles = BundleServing.of(store, archive, backend, edge or Edge(), registry)
        bundles.begin(bundle)
        status = ServingStatus(service_names(bundles.live.current.contracts))
        bundles.live.on_swap(lambda served: status.serve(service_names(served.contracts)))
        return cls(engine, _server(settings, bundles, backend), status, calls, redis, bundles)

    async def serve(self, address: str, stop: asyncio.Event, *, grace_s: float = GRACE_S) -> None:
        """Serve until `stop` is set, then let what is in hand end within `grace_s`.

        Raises:
            OSError: the address cannot be had.
        """
        self.server.add_generic_rpc_handlers((await self.status.handler(),))
        _bind(self.server, address)
        await self.server.start()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.engine.run())
                background = [
                    group.create_task(task)
                    for task in (
                        self.status.follow(self._is_ready),
                        self.bundles.follower.run(),
                    )
                ]
                _log.info("server_started", address=address, bundle=self.bundles.live.current.bundle.digest)
                await stop.wait()
                for task in background:
                    task.cancel()
                await self._leave(grace_s)
        finally:
            await self.server.stop(None)
            await self.bundles.publisher.drain(0.0)
            self.calls.close()
        _log.info("server_stopped", address=address)

    async def _is_ready(self) -> None:
        """Redis answers, has said which bundle is published, and has the one that is served here."""
        await self.redis.ping()
        await self.bundles.follower.ready()

    async def _leave(self, grace_s: float) -> None:
        _log.info("server_leaving", grace_s=grace_s)
        await self.status.leave()
        async with asyncio.TaskGroup() as group:
            group.create_task(self.server.stop(grace_s))
            group.create_task(self.engine.drain(grace_s))
            group.create_task(self.bundles.publisher.drain(grace_s))


class RedisPing:
    """Whether Redis takes commands."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def ping(self) -> None:
        """Ask it.

        Raises:
            FlowError: STORE_UNAVAILABLE.
        """
        try:
            await self._link.execute("PING", patience_s=PING_PATIENCE_S)
        except ResponseError as error:
            raise FlowError(Reason.STORE_UNAVAILABLE, f"Redis refuses commands: {error}") from None


def _engine(
    settings: Settings,
    link: Link,
    *,
    server_id: str,
    registry: ExecutorRegistry,
    archive: Archive,
    files: BlobStore,
    calls: RedisCallDispatch,
) -> FlowEngine:
    return FlowEngine(
        state=StateManager(link, keep_s=settings.keep_finished_s),
        calls=calls,
        runs=RedisRunDispatch(link, server_id, slots=RUN_SLOTS),
        registry=registry,
        plan_of=archive.plan,
        files=files,
        server_id=server_id,
        rng=Random(),
        input_check_of=CalleeChecks(archive.contract, max_file_bytes=settings.max_file_bytes).find,
        file_sweep=FileSweep(settings.files_dir, files.delete),
    )


def _server(settings: Settings, bundles: BundleServing, backend: Backend) -> grpc.aio.Server:
    live = bundles.live
    publishing = PublishHandler(bundles.publisher, lambda: live.current.contracts, token=settings.publish_token)
    missing = MissInterceptor(bundles.follower, bundles.archive, lambda contract: methods_of(contract, backend))
    return grpc.aio.server(
        handlers=[live, publishing], interceptors=[ErrorInterceptor(), missing], options=_channel_options(settings)
    )


async def _first_bundle(settings: Settings, folder: Path, link: Link) -> Bundle:
    """What was published, where Redis is there and has it; else what lies on disk. A look later mends the rest."""
    store = BundleStore(link, keep_s=settings.keep_finished_s)
    try:
        digest = await store.current(patience_s=FIRST_LOOK_S)
        if digest is not None and (found := await _published(store, folder, digest)) is not None:
            return found
    except FlowError:
        # The follower asks again as soon as the server is up, and logs it.
        pass
    return await asyncio.to_thread(load_bundle, folder)


async def _published(store: BundleStore, folder: Path, digest: str) -> Bundle | None:
    """A bundle from disk, where it lies there, else from Redis; None: it cannot be read."""
    try:
        return await asyncio.to_thread(load_bundle, folder, digest)
    except BundleError:
        packed = await store.get(digest)
    try:
        return None if packed is None else await asyncio.to_thread(unpack, packed)
    except BundleError as error:
        _log.error("published_bundle_cannot_be_served", digest=digest, error=str(error))
        return None


def _channel_options(settings: Settings) -> Sequence[tuple[str, int]]:
    return (
        # A file somewhat too large still gets our answer, with what to do, rather than gRPC's.
        ("grpc.max_receive_message_length", 2 * settings.max_file_bytes + (1 << 20)),
        ("grpc.max_send_message_length", -1),
        *compression.CHANNEL_OPTIONS,
        ("grpc.absolute_max_metadata_size", MAX_HEADERS_BYTES),
        ("grpc.max_metadata_size", MAX_HEADERS_BYTES),
        # Envoy and clients ask whether a call that is silent for minutes still stands; by itself gRPC hangs up on them.
        ("grpc.http2.min_ping_interval_without_data_ms", SMALLEST_PING_INTERVAL_MS),
        ("grpc.keepalive_permit_without_calls", 1),
        # A watcher that vanished without a word is noticed.
        ("grpc.keepalive_time_ms", KEEPALIVE_MS),
        ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
        # Two servers on one port would share its calls without a word.
        ("grpc.so_reuseport", 0),
    )


def _bind(server: grpc.aio.Server, address: str) -> None:
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    try:
        # gRPC says only that it failed; the same attempt by hand says why.
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, int(port)))
        server.add_insecure_port(address)
    except OSError as error:
        raise OSError(error.errno, f"{error.strerror}; {_CHOOSE}", address) from None
    except RuntimeError as error:
        raise OSError(errno.EADDRNOTAVAIL, f"{error}; {_CHOOSE}", address) from None
    if host not in ("localhost", "127.0.0.1", "::1"):
        _log.warning("server_listens_beyond_this_machine_without_tls", address=address)
