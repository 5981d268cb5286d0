"""Engines and workers as their processes make them, several in one test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any
from uuid import uuid4

from tests.unit.server.engine.executors import ALL

from promptflow_codegen.plan import FlowPlan
from promptflow_core.errors import FlowError, Reason
from promptflow_core.records import EventKind, EventRecord, ExecutionRecord
from promptflow_core.registry import ExecutorRegistry
from promptflow_core.settings import Settings
from promptflow_server.engine.interface import StartOptions
from promptflow_server.engine.runner import FlowEngine
from promptflow_server.store.state import StateManager
from promptflow_workers.dispatch.blobs import BlobStore
from promptflow_workers.dispatch.calls import RedisCallDispatch
from promptflow_workers.dispatch.link import Link
from promptflow_workers.dispatch.queue import Lease
from promptflow_workers.dispatch.runs import RedisRunDispatch
from promptflow_workers.worker import PoolOptions, serve_pool

LEASE = Lease(beat_ms=200, lease_ms=800, grace_ms=300)


class EngineProcess:
    """A server process without its services: an engine that serves, and what a caller does with it."""

    def __init__(
        self,
        link: Link,
        data: Path,
        plans: dict[str, FlowPlan],
        *,
        dispatch: type[RedisCallDispatch] = RedisCallDispatch,
        **options: Any,
    ) -> None:
        self.server_id = uuid4().hex
        self.link = link
        self.state = StateManager(link)
        self.plans = plans
        self.calls = dispatch(link, self.server_id)
        self.runs = RedisRunDispatch(link, self.server_id, slots=100, lease=LEASE)
        self.engine = FlowEngine(
            state=self.state,
            calls=self.calls,
            runs=self.runs,
            registry=ExecutorRegistry(ALL),
            plan_of=self._plan_of,
            files=BlobStore(data),
            server_id=self.server_id,
            rng=Random(1),
            **options,
        )
        self.serving: asyncio.Task[None] | None = None

    async def start(
        self,
        plan: FlowPlan,
        inputs: Mapping[str, object] | None = None,
        *,
        execution_id: str | None = None,
        to_self: bool = True,
        timeout_ms: int | None = None,
    ) -> str:
        """Start a run; answers its id."""
        digest = sha256(repr(plan).encode()).hexdigest()[:16]
        self.plans[digest] = plan
        options = StartOptions(execution_id or uuid4().hex, timeout_ms=timeout_ms, to_self=to_self)
        return (await self.engine.start(plan, digest, inputs or {}, options)).execution_id

    async def run(self, plan: FlowPlan, **inputs: object) -> tuple[ExecutionRecord, list[EventRecord]]:
        """Start a run and see it through; answers it and its events."""
        execution_id = await self.start(plan, inputs)
        events = [event async for event in self.engine.watch(execution_id)]
        return await self.engine.read(execution_id), events

    async def until(self, execution_id: str, is_it: Callable[[EventRecord], bool]) -> EventRecord:
        """The first event for which `is_it`."""
        async for event in self.engine.watch(execution_id):
            if is_it(event):
                return event
        raise AssertionError(f"{execution_id} ended without it")

    async def end(self, execution_id: str) -> ExecutionRecord:
        """The run, once it has ended."""
        await self.until(execution_id, lambda event: event.kind is EventKind.DONE)
        return await self.engine.read(execution_id)

    async def kill(self) -> None:
        """End the process without a farewell to anybody."""
        await self.link.close()
        assert self.serving is not None
        self.serving.cancel()
        await asyncio.wait([self.serving])

    async def _plan_of(self, digest: str, flow: str, version: int) -> FlowPlan:
        if digest in self.plans and self.plans[digest].name != flow:
            digest = flow  # another flow of the same bundle
        if digest not in self.plans:
            raise FlowError(Reason.FLOW_NOT_FOUND, f"no flow `{flow}` of version {version} in bundle {digest}")
        return self.plans[digest]


@asynccontextmanager
async def engine_process(
    url: str, data: Path, plans: dict[str, FlowPlan] | None = None, **options: Any
) -> AsyncIterator[EngineProcess]:
    """A serving engine; leaving stops it."""
    async with Link(url) as link:
        process = EngineProcess(link, data, {} if plans is None else plans, **options)
        process.serving = asyncio.create_task(process.engine.run())
        try:
            yield process
        finally:
            process.serving.cancel()
            await asyncio.wait([process.serving])
            if not process.serving.cancelled() and process.serving.exception() is not None:
                raise process.serving.exception()  # type: ignore[misc]


@asynccontextmanager
async def worker_process(url: str, data: Path, *queues: str) -> AsyncIterator[asyncio.Task[None]]:
    """A worker of some queues."""
    settings = Settings(redis_url=url, data_dir=data)
    options = PoolOptions(lease=LEASE, drain_s=0.0)
    task = asyncio.create_task(serve_pool(settings, queues, ExecutorRegistry(ALL), options))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])
