"""From a claimed call to its result: decode, keep the deadline, run, encode, whatever happens."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import msgspec
import structlog

from promptflow_core.errors import ErrorRecord, FlowError, Reason, storable_text
from promptflow_core.executor import ExecutionContext, Files
from promptflow_core.records import Call, CallProgress, CallResult
from promptflow_core.values import NativeValue, decode_value
from promptflow_workers.dispatch.clock import RedisClock, Seconds
from promptflow_workers.dispatch.queue import Job, Queue
from promptflow_workers.executor_host import ExecutorHost

PROGRESS_INTERVAL_S = 0.1
PROGRESS_PATIENCE_S = 0.5

_log = structlog.get_logger(__name__)


class CallRunner:
    """Runs the calls of one queue; every call gets a result, and no error leaves it but cancellation."""

    def __init__(
        self, queue: Queue, worker: str, hosts: Mapping[str, ExecutorHost], files: Files, clock: RedisClock
    ) -> None:
        self._queue = queue
        self._worker = worker
        self._hosts = hosts
        self._files = files
        self._clock = clock

    async def run(self, ctx: dict[Any, Any], job: Job) -> bytes:
        """The CallResult of a call, as msgpack."""
        del ctx
        try:
            return msgspec.msgpack.encode(CallResult(job.id, output=await self._output(job), worker=self._worker))
        except Exception as error:
            if not isinstance(error, FlowError):
                _log.exception("executor_failed", call=job.id)
            failure = ErrorRecord.of_exception(error)
            return msgspec.msgpack.encode(CallResult(job.id, error=failure, worker=self._worker))

    async def _output(self, job: Job) -> bytes:
        call = _decoded(job)
        host = self._hosts.get(call.executor)
        if host is None:
            raise FlowError(
                Reason.NO_WORKERS,
                f"executor `{call.executor}` is not installed in worker `{self._worker}` of queue `{self._queue.name}`",
            )
        remaining_s = None
        if call.deadline_at_ms:
            remaining_s = (call.deadline_at_ms - self._clock.now_ms()) / 1000
            if remaining_s <= 0:
                raise _too_late(call)
        context = self._context(job, call, remaining_s)
        limit = asyncio.timeout(remaining_s)
        try:
            async with limit:
                return await host.run(context, _config_of(call), lambda: _mark_started(job))
        except TimeoutError:
            if not limit.expired():
                raise
            raise _too_late(call) from None

    def _context(self, job: Job, call: Call, remaining_s: float | None) -> ExecutionContext:
        return ExecutionContext(
            execution_id=call.execution_id,
            step=call.step,
            call_id=call.id,
            attempt=call.attempt,
            deadline_at=None if remaining_s is None else time.time() + remaining_s,
            files=self._files,
            emit=_Progress(self._queue, job).emit,
        )


class _Progress:
    """Tells the owner of a call how far it is, ten times a second at most."""

    def __init__(self, queue: Queue, job: Job, monotonic: Seconds = time.monotonic) -> None:
        self._queue = queue
        self._job = job
        self._monotonic = monotonic
        self._next_at = 0.0

    async def emit(self, percentage: float, message: str) -> None:
        now = self._monotonic()
        if now < self._next_at:
            return
        self._next_at = now + PROGRESS_INTERVAL_S
        payload = msgspec.msgpack.encode(CallProgress(self._job.id, percentage, storable_text(message)))
        with suppress(FlowError):
            await self._queue.progress(self._job, payload, patience_s=PROGRESS_PATIENCE_S)


def _decoded(job: Job) -> Call:
    try:
        return msgspec.msgpack.decode(job.body, type=Call)
    except msgspec.MsgspecError as error:
        raise FlowError(
            Reason.INTERNAL,
            f"this worker cannot read call `{job.id}`; server and workers must be of one version: {error}",
        ) from None


def _config_of(call: Call) -> NativeValue:
    try:
        return decode_value(call.config)
    except (msgspec.MsgspecError, ValueError) as error:
        raise FlowError(Reason.CONFIG_INVALID, f"the config of step `{call.step}` cannot be read: {error}") from None


def _too_late(call: Call) -> FlowError:
    return FlowError(
        Reason.STEP_TIMEOUT, f"step `{call.step}` did not end before its deadline; raise its `timeout` or retry later"
    )


def _mark_started(job: Job) -> None:
    job.is_started = True
