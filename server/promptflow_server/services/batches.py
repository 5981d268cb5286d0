"""BatchExecute: many requests in one call, each answered as Execute would have answered it alone."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, cast

import grpc
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

from promptflow_codegen.build import MAX_BATCH
from promptflow_core.errors import ErrorRecord, FlowError, Reason, Violation
from promptflow_core.records import ExecutionRecord
from promptflow_server.gateway.xds import MAX_ANSWER_BYTES
from promptflow_server.services.contracts import FlowContract, Message, MessageClass
from promptflow_server.services.errors import bad_request
from promptflow_server.services.executions import FlowExecutions
from promptflow_server.services.interceptor import settled
from promptflow_server.services.patience import patience_s, start_in_time
from promptflow_server.services.requests import parse_message, unknown_numbers
from promptflow_server.services.submission import Submission, read_submission
from promptflow_server.services.views import put_error

STARTS_AT_ONCE = 64

Context = grpc.aio.ServicerContext[Any, Any]

Reader = Callable[[], Awaitable[Submission]]
"""Reads one request of a batch; raises what Execute would answer."""


class Batches:
    """The batches of one flow; `starts` bounds those of all flows together, so that others find room."""

    def __init__(
        self,
        executions: FlowExecutions,
        *,
        starts: asyncio.Semaphore,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
    ) -> None:
        self._executions = executions
        self._contract = executions.contract
        self._max_answer_bytes = max_answer_bytes
        self._starts = starts

    async def execute(self, readers: Sequence[Reader], context: Context) -> Message:
        """Start every request, wait for those in SYNC mode, and answer all in the order of the requests.

        Raises:
            FlowError: INVALID_INPUT, a batch of no request or of too many.
        """
        if not 1 <= len(readers) <= MAX_BATCH:
            message = f"a batch takes 1 to {MAX_BATCH} requests, not {len(readers)}"
            raise bad_request([Violation("requests", message)])
        # Once an answer has begun, no proxy takes its failure for one to be retried.
        await context.send_initial_metadata(())
        batch = _Batch(self._max_answer_bytes)
        response = self._contract.batch_execute_response()
        for _ in readers:
            response.outcomes.add()
        async with asyncio.TaskGroup() as group:
            for reader, outcome in zip(readers, response.outcomes, strict=True):
                group.create_task(self._put_outcome(outcome, reader, batch, context))
        return response

    async def _put_outcome(self, outcome: Message, reader: Reader, batch: _Batch, context: Context) -> None:
        answer = await settled(self._answer(reader, batch, context), f"{self._contract.service}/BatchExecute")
        if isinstance(answer, ErrorRecord):
            put_error(answer, outcome.error, self._contract.pool)
        else:
            # A run of an earlier bundle has its message from another pool.
            outcome.execution.MergeFromString(answer.SerializeToString())

    async def _answer(self, reader: Reader, batch: _Batch, context: Context) -> Message:
        run, is_sync, read_mask = await self._start(reader, batch, context)
        if is_sync:
            run = await self._end_of(run, context)
        execution = self._executions.show(run, read_mask)
        batch.take(execution.ByteSize(), run)
        return execution

    async def _start(
        self, reader: Reader, batch: _Batch, context: Context
    ) -> tuple[ExecutionRecord, bool, Message | None]:
        async with start_in_time(context), self._starts:
            submission = await reader()
            async with batch.turn_of(submission.request.options.request_id):
                # What a SYNC run is given ends before the caller's deadline: all other answers are in the same message.
                accepted = await self._executions.accept(submission, remaining_s=patience_s(context))
        return accepted.run, accepted.order.is_sync, accepted.order.read_mask

    async def _end_of(self, run: ExecutionRecord, context: Context) -> ExecutionRecord:
        bound = asyncio.timeout(_last_moment_s(context))
        try:
            async with bound:
                return await self._executions.result_of(run)
        except TimeoutError:
            if not bound.expired():
                raise
            message = "the run had not ended when the deadline of the batch came; GetStatus tells what becomes of it"
            raise FlowError(Reason.EXECUTION_TIMEOUT, message, metadata={"execution_id": run.execution_id}) from None


@dataclass(slots=True)
class _Batch:
    """One batch under way: what its answer may still hold, and a lock per request id, so that the first with one starts
    the run and the others find it."""

    left_bytes: int
    turns: defaultdict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))

    def turn_of(self, request_id: str) -> asyncio.Lock:
        """The lock under which a request is started."""
        return self.turns[request_id] if request_id else asyncio.Lock()

    def take(self, size_bytes: int, run: ExecutionRecord) -> None:
        """Raises FlowError OUTPUT_INVALID where the answer would hold too much."""
        if size_bytes > self.left_bytes:
            message = "the answer of the batch would be too large; ask GetStatus for this run, or send a `read_mask`"
            raise FlowError(Reason.OUTPUT_INVALID, message, metadata={"execution_id": run.execution_id})
        self.left_bytes -= size_bytes


def readers_of(contract: FlowContract, data: bytes) -> Sequence[Reader]:
    """The requests of a BatchExecuteRequest in its wire form, each still unread: what is wrong in one is its own.

    Raises:
        FlowError: MALFORMED_REQUEST; INVALID_INPUT, a field that batches do not have.
    """
    batch = parse_message(_unread_batch(), data)
    unknown = unknown_numbers(batch)
    if unknown:
        numbers = ", ".join(map(str, unknown[:10]))
        raise bad_request([Violation("", f"a batch has no field {numbers}; update the client")])
    requests: Sequence[bytes] = batch.requests
    return [_reader(contract, request) for request in requests]


def keyed(reader: Reader, request_id: str) -> Reader:
    """The reader of a request that gets this id where it has none."""

    async def read() -> Submission:
        submission = await reader()
        return submission.named(request_id)

    return read


def _reader(contract: FlowContract, request: bytes) -> Reader:
    async def read() -> Submission:
        return read_submission(contract, request)

    return read


@cache
def _unread_batch() -> MessageClass:
    """BatchExecuteRequest, on whose wire a message looks as bytes do: with its requests as bytes."""
    file = FileDescriptorProto(name="unread_batch.proto", package="promptflow_server", syntax="proto3")
    message = file.message_type.add(name="BatchExecuteRequest")
    message.field.add(
        name="requests",
        number=1,
        type=FieldDescriptorProto.TYPE_BYTES,
        label=FieldDescriptorProto.LABEL_REPEATED,
    )
    pool = DescriptorPool()
    pool.Add(file)
    return cast("MessageClass", GetMessageClass(pool.FindMessageTypeByName("promptflow_server.BatchExecuteRequest")))


def _last_moment_s(context: Context) -> float | None:
    """Between the end that SYNC runs are given and the caller's deadline."""
    remaining_s, limit_s = context.time_remaining(), patience_s(context)
    return None if limit_s is None else (limit_s + remaining_s) / 2
