"""Executors that run inside the server: for light or I/O-bound work."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from random import Random

import structlog

from promptflow_core.errors import ErrorRecord, FlowError, Reason, storable_text
from promptflow_core.executor import ExecutionContext, Files
from promptflow_core.records import Call
from promptflow_core.registry import ExecutorRegistry
from promptflow_core.values import decode_value
from promptflow_server.engine.transitions import CallProgressed
from promptflow_workers.executor_host import ExecutorHost

Emit = Callable[[CallProgressed], None]

_log = structlog.get_logger(__name__)


class InlineExecutors:
    """One instance of each inline executor, started with its first call."""

    def __init__(self, registry: ExecutorRegistry, files: Files, rng: Random) -> None:
        self._registry = registry
        self._files = files
        self._rng = rng
        self._hosts: dict[str, ExecutorHost] = {}
        self._starters: set[asyncio.Task[None]] = set()

    async def run(self, call: Call, emit: Emit) -> bytes | ErrorRecord:
        """What the executor answers, as msgpack, or why it failed; nothing is raised but cancellation."""
        try:
            host = await self._host(call.executor)
            return await host.run(self._context(call, emit), decode_value(call.config), lambda: None)
        except Exception as error:
            if not isinstance(error, FlowError):
                _log.exception("executor_failed", call=call.id)
            return ErrorRecord.of_exception(error)

    async def close(self) -> None:
        """Release the executors."""
        for task in self._starters:
            task.cancel()
        if self._starters:
            await asyncio.wait(self._starters)
        for host in self._hosts.values():
            await host.close()
        self._hosts.clear()

    async def _host(self, name: str) -> ExecutorHost:
        host = self._hosts.get(name)
        if host is None:
            if name not in self._registry:
                message = f"executor `{name}` is not installed in this server; install its package or change the flow"
                raise FlowError(Reason.CONFIG_INVALID, message)
            host = self._hosts[name] = ExecutorHost(self._registry[name](), self._rng)
            starter = asyncio.create_task(host.keep_started())
            self._starters.add(starter)
            starter.add_done_callback(self._starters.discard)
        await host.tried()
        return host

    def _context(self, call: Call, emit: Emit) -> ExecutionContext:
        return ExecutionContext(
            execution_id=call.execution_id,
            step=call.step,
            call_id=call.id,
            attempt=call.attempt,
            deadline_at=call.deadline_at_ms / 1000 if call.deadline_at_ms else None,
            files=self._files,
            emit=partial(_emit, emit, call.id),
        )


async def _emit(emit: Emit, call_id: str, percentage: float, message: str) -> None:
    emit(CallProgressed(call_id, percentage, storable_text(message)))
