"""ExecutionService: the runs of all flows."""

from __future__ import annotations

from typing import Any

import grpc

from promptflow_core.errors import Violation
from promptflow_core.records import ExecutionRecord, ExecutionStatus
from promptflow_server.engine.interface import Engine
from promptflow_server.services.contracts import Contracts, Message
from promptflow_server.services.errors import bad_request
from promptflow_server.services.flow_servicer import Context, serialize
from promptflow_server.services.patience import look_in_time
from promptflow_server.services.requests import read_request
from promptflow_server.services.views import put_error, put_metadata, put_progress
from promptflow_server.store.page_tokens import PageTokenError
from promptflow_server.store.run_index import RunFilter

SERVICE = "promptflow_api.v1.ExecutionService"
PAGE_SIZE = 50

_V1 = "promptflow_api.v1"


class ExecutionServicer:
    """The service, with the messages of one bundle."""

    def __init__(self, contracts: Contracts, engine: Engine) -> None:
        self._contracts = contracts
        self._engine = engine

    def handler(self) -> grpc.GenericRpcHandler:
        """What is put on a server."""
        methods: dict[str, Any] = {
            "ListExecutions": grpc.unary_unary_rpc_method_handler(self.list_executions, None, serialize)
        }
        return grpc.method_handlers_generic_handler(SERVICE, methods)

    async def list_executions(self, data: bytes, context: Context) -> Message:
        """A page of runs, the newest first."""
        request = read_request(self._contracts.message(f"{_V1}.ListExecutionsRequest"), data, self._contracts)
        wanted = _filter_of(request)
        size = request.page_size or PAGE_SIZE
        try:
            async with look_in_time(context):
                page = await self._engine.list_runs(wanted, size=size, token=request.page_token)
        except PageTokenError as error:
            raise bad_request([Violation("page_token", str(error))]) from None
        response = self._contracts.message(f"{_V1}.ListExecutionsResponse")()
        for run in page.runs:
            self._put(run, response.executions.add())
        response.next_page_token = page.next_token
        return response

    def _put(self, run: ExecutionRecord, target: Message) -> None:
        target.execution_id, target.flow, target.version = run.execution_id, run.flow, run.version
        target.status = target.DESCRIPTOR.fields_by_name["status"].enum_type.values_by_name[run.status].number
        put_progress(run.progress, target.progress)
        if run.error is not None:
            put_error(run.error, target.error, self._contracts.pool)
        put_metadata(run, target.metadata)


def _filter_of(request: Message) -> RunFilter:
    values = request.DESCRIPTOR.fields_by_name["statuses"].enum_type.values_by_number
    names = {values[number].name for number in request.statuses if number}
    return RunFilter(request.flow, request.version, frozenset(map(ExecutionStatus, names)))
