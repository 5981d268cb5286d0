"""The gRPC face of one flow: decode, delegate, encode; the interceptor maps errors."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing
from typing import Any

import grpc

from promptflow_core.records import ExecutionRecord
from promptflow_server.services.batches import Batches, readers_of
from promptflow_server.services.compression import decide
from promptflow_server.services.contracts import Message
from promptflow_server.services.executions import Accepted, FlowExecutions
from promptflow_server.services.flow_health import FlowHealth
from promptflow_server.services.flow_info import describe
from promptflow_server.services.patience import look_in_time, patience_s, start_in_time
from promptflow_server.services.planning import Planner
from promptflow_server.services.requests import check_mask, read_request
from promptflow_server.services.submission import read_submission

EXECUTION_ID_HEADER = "x-execution-id"

Context = grpc.aio.ServicerContext[Any, Any]


class FlowServicer:
    """The methods of a flow's service. Requests come as bytes, so that what cannot be parsed has its reason too."""

    def __init__(self, executions: FlowExecutions, health: FlowHealth, batches: Batches, planner: Planner) -> None:
        self._executions = executions
        self._batches = batches
        self._planner = planner
        self._contract = executions.contract
        self._health = health

    def handlers(self) -> Mapping[str, Any]:
        """The method handlers by name."""
        unary = grpc.unary_unary_rpc_method_handler
        streaming = grpc.unary_stream_rpc_method_handler
        return {
            "Execute": unary(self.execute, None, serialize),
            "ExecuteStream": streaming(self.execute_stream, None, serialize),
            "Watch": streaming(self.watch, None, serialize),
            "GetStatus": unary(self.get_status, None, serialize),
            "Cancel": unary(self.cancel, None, serialize),
            "BatchExecute": unary(self.batch_execute, None, serialize),
            "Plan": unary(self.plan, None, serialize),
            "GetInfo": unary(self.get_info, None, serialize),
            "CheckHealth": unary(self.check_health, None, serialize),
        }

    async def execute(self, data: bytes, context: Context) -> Message:
        """Start a run, or take the one already started under this request id; SYNC waits for its end."""
        submission = read_submission(self._contract, data)
        async with start_in_time(context):
            accepted = await self._executions.accept(submission, remaining_s=context.time_remaining())
        return await conclude(self._executions, accepted, context)

    async def execute_stream(self, data: bytes, context: Context) -> None:
        """Start a run and tell its events."""
        submission = read_submission(self._contract, data)
        async with start_in_time(context):
            accepted = await self._executions.accept(submission, is_streamed=True)
        await announce(accepted.run, context)
        async with aclosing(self._executions.events(accepted.run, 0, accepted.order.read_mask)) as events:
            async for event in events:
                await send(event, context)

    async def watch(self, data: bytes, context: Context) -> None:
        """Tell the events of a run after `after_sequence`."""
        request = read_request(self._contract.watch_request, data, self._contract)
        check_mask(request.read_mask, self._contract)
        async with look_in_time(context):
            run = await self._executions.find(request.execution_id)
        await announce(run, context)
        async with aclosing(self._executions.events(run, request.after_sequence, request.read_mask)) as events:
            async for event in events:
                await send(event, context)

    async def get_status(self, data: bytes, context: Context) -> Message:
        """Show a run as it stands."""
        request = read_request(self._contract.get_status_request, data, self._contract)
        check_mask(request.read_mask, self._contract)
        async with look_in_time(context):
            run = await self._executions.find(request.execution_id)
        await announce(run, context)
        return self._executions.show(run, request.read_mask)

    async def cancel(self, data: bytes, context: Context) -> Message:
        """Ask a run to end; one that has ended stays as it is."""
        request = read_request(self._contract.cancel_request, data, self._contract)
        async with look_in_time(context):
            run = await self._executions.find(request.execution_id)
        await announce(run, context)
        async with look_in_time(context):
            return await self._executions.cancel(run)

    async def batch_execute(self, data: bytes, context: Context) -> Message:
        """Answer many requests, each as Execute would have."""
        return await self._batches.execute(readers_of(self._contract, data), context)

    async def plan(self, data: bytes, context: Context) -> Message:
        """Tell what a request would run."""
        return await self._planner.plan(read_submission(self._contract, data), patience_s(context))

    async def get_info(self, data: bytes, context: Context) -> Message:
        """Tell what the flow is, as this server runs it."""
        del context
        read_request(self._contract.get_info_request, data, self._contract)
        return describe(self._contract)

    async def check_health(self, data: bytes, context: Context) -> Message:
        """Tell whether what the flow needs is there."""
        read_request(self._contract.check_health_request, data, self._contract)
        return await self._health.check(patience_s(context))


async def conclude(executions: FlowExecutions, accepted: Accepted, context: Context) -> Message:
    """Answer Execute: SYNC with the run's end, ASYNC with the run as it was accepted.

    The header goes out before the wait: once an answer has begun, no proxy takes its failure for one to be retried.

    Raises:
        FlowError: why a SYNC run failed.
    """
    run = accepted.run
    await announce(run, context)
    if accepted.order.is_sync:
        run = await executions.result_of(run)
    return executions.show(run, accepted.order.read_mask)


async def announce(run: ExecutionRecord, context: Context) -> None:
    """Send the headers of an answer, with the id by which the run is found again."""
    await context.send_initial_metadata(((EXECUTION_ID_HEADER, run.execution_id),))


async def send(event: Message, context: Context) -> None:
    """Write one message of a stream."""
    decide(event.ByteSize(), context)
    await context.write(event)


def serialize(message: Message) -> bytes:
    """The wire form of an answer."""
    data: bytes = message.SerializeToString()
    return data
