"""The base of a generated flow client, which adds `run`, `start` and `stream` with the flow's inputs."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Generic, TypeVar

from promptflow_client.calls import FlowCalls, Options, with_result
from promptflow_client.contract import Contract
from promptflow_client.errors import PromptFlowError
from promptflow_client.events import Event
from promptflow_client.executions import Execution, ExecutionStatus, ExecutionSummary, FlowInfo, Health
from promptflow_client.following import Cursor
from promptflow_client.handle import Handle
from promptflow_client.plans import Plan
from promptflow_client.promptflow import PromptFlowBase

ResultT = TypeVar("ResultT")
StepsT = TypeVar("StepsT")
OutputT = TypeVar("OutputT")


class FlowClientBase(Generic[ResultT, StepsT, OutputT]):
    """One flow of one PromptFlow.

    `timeout` is in seconds. In `run`, `stream` and `run_batch` it bounds the runs as well as the wait, since nobody
    would be there for what comes later; in `start` it bounds the start alone. Without one, a run is awaited for as
    long as the server shows signs of life.
    """

    def __init__(self, promptflow: PromptFlowBase, contract: Contract[ResultT, StepsT, OutputT]) -> None:
        self._calls = FlowCalls(promptflow.connection, contract)

    def handle(self, execution_id: str) -> Handle[ResultT, StepsT, OutputT]:
        """A run that was started elsewhere; nothing is sent."""
        return Handle(self._calls, execution_id)

    def executions(
        self,
        *,
        status: ExecutionStatus | Iterable[ExecutionStatus] = (),
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncGenerator[ExecutionSummary, None]:
        """Runs of this flow and major version, the newest first; arguments as in `executions` of `PromptFlow`."""
        return self._calls.executions(status, page_size, timeout)

    async def info(self, *, timeout: float | None = None) -> FlowInfo:
        """The flow as the server runs it."""
        return await self._calls.info(timeout)

    async def health(self, *, timeout: float | None = None) -> Health:
        """Whether everything that the flow needs answers."""
        return await self._calls.health(timeout)

    async def _run(self, inputs: Mapping[str, Any], timeout: float | None, options: Options | None) -> ResultT:
        request = await self._calls.request(inputs, with_result(options), timeout)
        return await self._calls.result(Cursor(), timeout, request)

    async def _run_batch(
        self, inputs: Sequence[Mapping[str, Any]], timeout: float | None, options: Options | None
    ) -> tuple[ResultT | PromptFlowError, ...]:
        return await self._calls.batch(inputs, options, timeout)

    async def _plan(self, inputs: Mapping[str, Any], timeout: float | None) -> Plan:
        return await self._calls.plan(inputs, timeout)

    async def _start(
        self, inputs: Mapping[str, Any], timeout: float | None, options: Options | None
    ) -> Handle[ResultT, StepsT, OutputT]:
        return self.handle(await self._calls.start(await self._calls.request(inputs, options), timeout))

    async def _stream(
        self, inputs: Mapping[str, Any], timeout: float | None, options: Options | None
    ) -> AsyncGenerator[Event[Execution[ResultT, StepsT], OutputT], None]:
        request = await self._calls.request(inputs, options, timeout)
        async with aclosing(self._calls.events(Cursor(), timeout, request)) as events:
            async for event in events:
                yield event
