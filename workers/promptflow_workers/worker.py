"""The worker process: the executors of some queues, started once, behind one `QueueWorker`."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

import structlog

from promptflow_core.registry import ExecutorRegistry
from promptflow_core.settings import Settings
from promptflow_workers.call_runner import CallRunner
from promptflow_workers.dispatch.blobs import BlobStore
from promptflow_workers.dispatch.clock import RedisClock
from promptflow_workers.dispatch.lane import LaneOptions
from promptflow_workers.dispatch.link import Link
from promptflow_workers.dispatch.queue import Lease, Queue
from promptflow_workers.executor_host import ExecutorHost
from promptflow_workers.queue_worker import QueueWorker, WorkerOptions

DRAIN_S = 10.0

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class PoolOptions:
    """How a worker process serves: calls at once per queue, its name, its lease, and the seconds of a drain."""

    slots: int = 16
    name: str | None = None
    lease: Lease = field(default_factory=Lease)
    drain_s: float = DRAIN_S


async def run_worker(settings: Settings, queues: Sequence[str], *, slots: int = 16, name: str | None = None) -> None:
    """Serve `queues` until SIGTERM or SIGINT; then give back what has not started and let the rest end within 10 s.

    `name` shows in logs and results; a suffix makes it unique. Redis may be away: the worker waits. A model too: calls
    then answer why.

    Raises:
        ValueError: two executors share a name, or a path in the settings is not `module:Class`.
    """
    await serve_pool(settings, queues, ExecutorRegistry.load(settings.executors), PoolOptions(slots=slots, name=name))


async def serve_pool(
    settings: Settings, queues: Sequence[str], registry: ExecutorRegistry, options: PoolOptions
) -> None:
    """`run_worker` with the executors given."""
    worker = f"{options.name or socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}"
    rng = Random()
    hosts = {
        queue: {name: ExecutorHost(cls(), rng) for name, cls in registry.for_queue(queue).items()} for queue in queues
    }
    all_hosts = [host for by_name in hosts.values() for host in by_name.values()]
    _log.info("worker_starting", worker=worker, queues=list(queues), executors=sorted(_names(hosts)))
    async with Link(settings.redis_url) as link:
        clock, files = RedisClock(), BlobStore(settings.files_dir)
        runners = {
            queue: CallRunner(Queue(link, queue), worker, by_name, files, clock).run for queue, by_name in hosts.items()
        }

        async def have_tried(queue: str) -> None:
            await _have_tried(hosts[queue].values())

        lane = LaneOptions(slots=options.slots, lease=options.lease)
        arq_worker = QueueWorker(
            link, worker, runners, WorkerOptions(lane, options.drain_s, opens_after=have_tried, clock=clock)
        )
        try:
            await _serve(worker, arq_worker, all_hosts)
        finally:
            await arq_worker.close()
            for host in all_hosts:
                await host.close()
    _log.info("worker_stopped", worker=worker)


async def _serve(name: str, arq_worker: QueueWorker, hosts: Sequence[ExecutorHost]) -> None:
    async with asyncio.TaskGroup() as group:
        starting = [group.create_task(host.keep_started()) for host in hosts]
        starting.append(group.create_task(_announce(name, hosts)))
        try:
            await arq_worker.async_run()
        except asyncio.CancelledError:
            task = asyncio.current_task()
            # A second signal cancels arq's main task, not this one.
            if task is None or task.cancelling():
                raise
        for start in starting:
            start.cancel()


async def _announce(name: str, hosts: Iterable[ExecutorHost]) -> None:
    await _have_tried(hosts)
    _log.info("worker_ready", worker=name)


async def _have_tried(hosts: Iterable[ExecutorHost]) -> None:
    """Returns when each was started, or failed to start once: calls of that one answer why."""
    for host in hosts:
        await host.tried()


def _names(hosts: Mapping[str, Mapping[str, ExecutorHost]]) -> set[str]:
    return {name for by_name in hosts.values() for name in by_name}
