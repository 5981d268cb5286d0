"""From a checked order to a recorded run: its id, its files in the file store, its start."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from uuid import UUID, uuid4, uuid5

import structlog

from promptflow_core.records import ExecutionRecord
from promptflow_core.values import FileRef, NativeValue
from promptflow_server.engine.interface import Engine, StartOptions
from promptflow_server.services.codec import Upload
from promptflow_server.services.contracts import FlowContract
from promptflow_server.services.submission import Order, Submission, check, files_in, is_under
from promptflow_workers.dispatch.blobs import BlobStore

CHUNK_BYTES = 1 << 20
_REQUEST_IDS = UUID("6587e585-bf98-5674-b3af-0888d34d034e")

_log = structlog.get_logger(__name__)


class Admission:
    """Starts runs for the services of all flows. `new_id` makes the ids of runs without a request id."""

    def __init__(
        self, engine: Engine, blobs: BlobStore, *, max_file_bytes: int, new_id: Callable[[], UUID] = uuid4
    ) -> None:
        self.blobs = blobs
        self.max_file_bytes = max_file_bytes
        self._engine = engine
        self._new_id = new_id
        self._starts: set[asyncio.Task[ExecutionRecord]] = set()

    def check(self, submission: Submission, contract: FlowContract) -> Order:
        """See `submission.check`."""
        return check(submission, contract, self.max_file_bytes)

    def new_execution_id(self) -> str:
        """An id that nobody has."""
        return str(self._new_id())

    async def start(
        self,
        order: Order,
        contract: FlowContract,
        *,
        staged_id: str = "",
        caller: str = "",
        remaining_s: float | None = None,
        to_self: bool,
    ) -> ExecutionRecord:
        """Store the files of an order and start its run, or answer the run that this request id has already.

        `staged_id` is the execution under which files of the order lie already, `remaining_s` how long the caller waits
        for the end. A caller that goes away does not stop a start half-way; if it fails after that, the log tells.

        Raises:
            FlowError: as `Engine.start`; then no file stays, unless an earlier try with this request id may own it.
        """
        own_id = staged_id or self.new_execution_id()
        execution_id = _id_of_request(caller, contract, order.request_id) if order.request_id else own_id
        options = StartOptions(
            execution_id,
            _shorter(order.timeout_ms, remaining_s),
            {**contract.plan.labels, **order.labels},
            to_self=to_self,
        )
        structlog.contextvars.bind_contextvars(execution_id=execution_id)
        task = asyncio.create_task(self._start(order, contract, options, own_id))
        self._starts.add(task)
        task.add_done_callback(self._starts.discard)
        try:
            # Unlike `shield`, this leaves the outcome to whoever is still there.
            await asyncio.wait({task})
        except asyncio.CancelledError:
            task.add_done_callback(_tell_of_left_start)
            raise
        return task.result()

    async def _start(self, order: Order, contract: FlowContract, options: StartOptions, own_id: str) -> ExecutionRecord:
        has_files = any(files_in(order.inputs))
        is_started = False
        try:
            inputs = await self._stored(order.inputs, options.execution_id) if has_files else order.inputs
            run = await self._engine.start(contract.plan, contract.digest, inputs, options)
            is_started = True
        finally:
            # Under the id of a request may lie the files of its first try, which perhaps runs by now: those stay.
            if has_files and (not is_started or own_id != options.execution_id):
                await self.blobs.delete(own_id)
        _log.info("execution_accepted", flow=contract.plan.name, version=contract.plan.version, status=run.status)
        return run

    async def _stored(self, value: NativeValue, execution_id: str) -> NativeValue:
        match value:
            case Upload():
                return await self._write(execution_id, _chunks(value.content), value)
            case FileRef() if not is_under(execution_id, value):
                return await self._write(execution_id, _chunks_at(self.blobs.path(value)), value)
            case Mapping():
                items: Mapping[str, NativeValue] = value  # pyright: ignore[reportUnknownVariableType]
                return {key: await self._stored(item, execution_id) for key, item in items.items()}
            case list():
                return [await self._stored(item, execution_id) for item in value]  # pyright: ignore[reportUnknownVariableType]
            case _:
                return value

    async def _write(self, execution_id: str, chunks: AsyncIterator[bytes], file: Upload | FileRef) -> FileRef:
        return await self.blobs.write(
            execution_id, chunks, name=file.name, content_type=file.content_type, max_bytes=self.max_file_bytes
        )


def _tell_of_left_start(task: asyncio.Task[ExecutionRecord]) -> None:
    error = None if task.cancelled() else task.exception()
    if error is not None:
        _log.warning("start_failed_without_caller", error=f"{type(error).__name__}: {error}")


def _id_of_request(caller: str, contract: FlowContract, request_id: str) -> str:
    named = [caller, contract.plan.name, contract.plan.version, request_id]
    return str(uuid5(_REQUEST_IDS, json.dumps(named)))


def _shorter(timeout_ms: int | None, remaining_s: float | None) -> int | None:
    bounds = [timeout_ms, None if remaining_s is None else max(1, int(remaining_s * 1_000))]
    return min((bound for bound in bounds if bound is not None), default=None)


async def _chunks(content: bytes) -> AsyncIterator[bytes]:
    yield content


async def _chunks_at(path: Path) -> AsyncIterator[bytes]:
    with await asyncio.to_thread(path.open, "rb") as file:
        while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
            yield chunk
