"""The twins of one flow: bodies in, streams out; what happens between is that of the gRPC methods."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any

import grpc
from google.api import httpbody_pb2  # type: ignore[import-untyped]

from promptflow_core.errors import FlowError, Reason, Violation
from promptflow_core.records import ExecutionRecord
from promptflow_server.services.batches import Batches, keyed
from promptflow_server.services.contracts import Message
from promptflow_server.services.errors import bad_request
from promptflow_server.services.executions import Accepted, FlowExecutions
from promptflow_server.services.flow_servicer import EXECUTION_ID_HEADER, Context, conclude, serialize
from promptflow_server.services.http_face.bodies import BodyReader
from promptflow_server.services.http_face.encodings import decoded
from promptflow_server.services.http_face.framing import Framing, framing_for
from promptflow_server.services.patience import look_in_time, patience_s, start_in_time
from promptflow_server.services.planning import Planner
from promptflow_server.services.requests import check_mask, read_request

_HttpBody: Any = httpbody_pb2.HttpBody


class HttpServicer:
    """The twins of one flow's methods."""

    def __init__(self, executions: FlowExecutions, batches: Batches, planner: Planner) -> None:
        self._executions = executions
        self._batches = batches
        self._planner = planner
        self._contract = executions.contract
        self._bodies = BodyReader(executions.contract, executions.admission)

    def handlers(self) -> Mapping[str, Any]:
        """The method handlers by name."""
        read, write = _HttpBody.FromString, _HttpBody.SerializeToString
        return {
            "ExecuteHttp": grpc.stream_unary_rpc_method_handler(self.execute, read, serialize),
            "ExecuteStreamHttp": grpc.stream_stream_rpc_method_handler(self.execute_stream, read, write),
            "BatchExecuteHttp": grpc.stream_unary_rpc_method_handler(self.batch_execute, read, serialize),
            "PlanHttp": grpc.stream_unary_rpc_method_handler(self.plan, read, serialize),
            "WatchHttp": grpc.unary_stream_rpc_method_handler(self.watch, None, write),
        }

    async def execute(self, bodies: AsyncIterator[Message], context: Context) -> Message:
        """As Execute, for a body as it came."""
        accepted = await self._accept(bodies, context, is_streamed=False)
        return await conclude(self._executions, accepted, context)

    async def execute_stream(self, bodies: AsyncIterator[Message], context: Context) -> None:
        """As ExecuteStream, for a body as it came; a repeated request goes on after its Last-Event-ID."""
        framing = self._framing(context)
        accepted = await self._accept(bodies, context, is_streamed=True)
        seen = _last_event_id(context) if accepted.order.request_id else 0
        _check_resumable(accepted.run, seen)
        events = self._executions.events(accepted.run, seen, accepted.order.read_mask)
        await _write(accepted.run, events, framing, context)

    async def watch(self, data: bytes, context: Context) -> None:
        """As Watch; what EventSource has seen already is not told again."""
        framing = self._framing(context)
        request = read_request(self._contract.watch_request, data, self._contract)
        check_mask(request.read_mask, self._contract)
        seen = _last_event_id(context)
        async with look_in_time(context):
            run = await self._executions.find(request.execution_id)
        _check_resumable(run, seen)
        events = self._executions.events(run, max(request.after_sequence, seen), request.read_mask)
        await _write(run, events, framing, context)

    async def batch_execute(self, bodies: AsyncIterator[Message], context: Context) -> Message:
        """As BatchExecute, for a body as it came."""
        readers = await self._bodies.read_batch(*await _opened(bodies, context))
        request_id = _request_id(context)
        if request_id:
            readers = [keyed(reader, f"{request_id}/{index}") for index, reader in enumerate(readers)]
        return await self._batches.execute(readers, context)

    async def plan(self, bodies: AsyncIterator[Message], context: Context) -> Message:
        """As Plan, for a body as it came."""
        submission = await self._bodies.read(*await _opened(bodies, context))
        return await self._planner.plan(submission, patience_s(context))

    def _framing(self, context: Context) -> Framing:
        return framing_for(_header(context, "accept"), self._contract.pool)

    async def _accept(self, bodies: AsyncIterator[Message], context: Context, *, is_streamed: bool) -> Accepted:
        submission = (await self._bodies.read(*await _opened(bodies, context))).named(_request_id(context))
        remaining_s = context.time_remaining()
        async with start_in_time(context):
            return await self._executions.accept(submission, remaining_s=remaining_s, is_streamed=is_streamed)


async def _write(
    run: ExecutionRecord, events: AsyncGenerator[Message, None], framing: Framing, context: Context
) -> None:
    # A gateway that compresses would hold events back.
    headers = ((EXECUTION_ID_HEADER, run.execution_id), ("cache-control", "no-store, no-transform"))
    await context.send_initial_metadata(headers)
    await context.write(_HttpBody(content_type=framing.content_type, data=framing.begin()))
    async with aclosing(events):
        async for event in events:
            await context.write(_HttpBody(data=framing.frame(event)))
    await context.write(_HttpBody(data=framing.end()))


async def _opened(bodies: AsyncIterator[Message], context: Context) -> tuple[str, AsyncIterator[bytes]]:
    """The content type of a body, and its content as it comes."""
    first = await anext(bodies, None)
    content_type = "" if first is None else first.content_type
    return content_type, decoded(_data_of(first, bodies), _header(context, "content-encoding"), content_type)


async def _data_of(first: Message | None, rest: AsyncIterator[Message]) -> AsyncIterator[bytes]:
    if first is None:
        return
    yield first.data
    async for body in rest:
        yield body.data


def _header(context: Context, name: str) -> str:
    values = (value for key, value in context.invocation_metadata() or () if key == name)
    found = next(values, "")
    return found if isinstance(found, str) else found.decode("latin-1")


def _request_id(context: Context) -> str:
    """The idempotency-key header, which its draft standard puts into quotes."""
    return _header(context, "idempotency-key").strip().strip('"')


def _last_event_id(context: Context) -> int:
    text = _header(context, "last-event-id").strip()
    if not text:
        return 0
    if not text.isascii() or not text.isdigit() or len(text) > 10:
        raise bad_request([Violation("last-event-id", f"`{text[:32]}` is no sequence of an event")])
    return int(text)


def _check_resumable(run: ExecutionRecord, seen: int) -> None:
    # EventSource comes back for ever after a stream that ends well; an error is what stops it.
    if seen and (seen > run.sequence or (seen == run.sequence and run.status.is_terminal)):
        raise FlowError(
            Reason.SEQUENCE_OUT_OF_RANGE,
            f"the execution has no event after {seen}; GetStatus answers how it ended",
            metadata={"execution_id": run.execution_id},
        )
