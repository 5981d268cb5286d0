"""Lists of what a PromptFlow holds, page after page, each fetched when the reader comes to it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable
from typing import Any, TypeVar

from promptflow_api.v1 import execution_service_pb2, flow_service_pb2
from promptflow_client.connection import Connection, MessageT, Method
from promptflow_client.errors import error_of_status
from promptflow_client.executions import ExecutionStatus, ExecutionSummary, FlowSummary
from promptflow_client.states import read_metadata, read_progress, read_status

T = TypeVar("T")


def list_executions(
    connection: Connection,
    *,
    flow: str,
    version: int,
    status: ExecutionStatus | Iterable[ExecutionStatus],
    page_size: int,
    timeout: float | None,
) -> AsyncGenerator[ExecutionSummary, None]:
    """Runs, the newest first; `timeout` is for each page."""
    service = execution_service_pb2.DESCRIPTOR.services_by_name["ExecutionService"]
    method = Method.of(service.methods_by_name["ListExecutions"])
    request = method.request(flow=flow, version=version, page_size=page_size)
    known = request.DESCRIPTOR.fields_by_name["statuses"].enum_type.values_by_name
    wanted = (status,) if isinstance(status, ExecutionStatus) else status
    request.statuses.extend(known[each.value].number for each in wanted)
    return _pages(connection, method, request, timeout, lambda page: map(_execution, page.executions))


def list_flows(connection: Connection, *, page_size: int, timeout: float | None) -> AsyncGenerator[FlowSummary, None]:
    """Flows that are served, by name and version; `timeout` is for each page."""
    service = flow_service_pb2.DESCRIPTOR.services_by_name["FlowService"]
    method = Method.of(service.methods_by_name["ListFlows"])
    return _pages(connection, method, method.request(page_size=page_size), timeout, lambda page: map(_flow, page.flows))


async def _pages(
    connection: Connection,
    method: Method,
    request: MessageT,
    timeout: float | None,
    read: Callable[[Any], Iterable[T]],
) -> AsyncGenerator[T, None]:
    while True:
        page = await connection.call(method, request, timeout)
        for entry in read(page):
            yield entry
        # A server that gave the same token again would be asked for ever.
        if not page.next_page_token or page.next_page_token == request.page_token:
            return
        request.page_token = page.next_page_token


def _execution(message: MessageT) -> ExecutionSummary:
    return ExecutionSummary(
        execution_id=message.execution_id,
        flow=message.flow,
        version=message.version,
        status=read_status(message, "status", ExecutionStatus),
        progress=read_progress(message.progress),
        error=error_of_status(message.error) if message.HasField("error") else None,
        metadata=read_metadata(message.metadata),
    )


def _flow(message: MessageT) -> FlowSummary:
    return FlowSummary(message.flow, message.version, message.description, message.service, message.path)
