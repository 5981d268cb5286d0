"""One run, from anywhere: its result, events, status, cancel."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Generic, TypeVar

from promptflow_client.calls import FlowCalls
from promptflow_client.events import Event
from promptflow_client.executions import Execution
from promptflow_client.following import Cursor

ResultT = TypeVar("ResultT")
StepsT = TypeVar("StepsT")
OutputT = TypeVar("OutputT")


class Handle(Generic[ResultT, StepsT, OutputT]):
    """A run by its id. It holds nothing else: another process makes the same one with `handle(execution_id)`.

    `timeout` is in seconds; a wait that it ends raises DeadlineExceededError, and the run goes on.
    """

    def __init__(self, calls: FlowCalls[ResultT, StepsT, OutputT], execution_id: str) -> None:
        self._calls = calls
        self.execution_id = execution_id

    def __repr__(self) -> str:
        return f"Handle({self.execution_id!r})"

    async def result(self, *, timeout: float | None = None) -> ResultT:
        """Wait for the end of the run.

        Raises:
            PromptFlowError: the run failed or was cancelled, or its end cannot be learnt.
        """
        return await self._calls.result(Cursor(self.execution_id), timeout)

    def events(
        self, after: int = 0, *, read_mask: Sequence[str] = (), timeout: float | None = None
    ) -> AsyncGenerator[Event[Execution[ResultT, StepsT], OutputT], None]:
        """What happened after sequence `after`, then what happens, up to `Done`; resumes by itself after a cut.

        `read_mask` names the fields of executions that come, as in `Options`.
        """
        return self._calls.events(Cursor(self.execution_id, after), timeout, read_mask=read_mask)

    async def status(
        self, *, read_mask: Sequence[str] = (), timeout: float | None = None
    ) -> Execution[ResultT, StepsT]:
        """The run as it stands; `read_mask` names the fields that come, as in `Options`."""
        return await self._calls.status(self.execution_id, timeout, read_mask)

    async def cancel(self, *, timeout: float | None = None) -> Execution[ResultT, StepsT]:
        """Ask the run to end, and give it as it stands then; a run that has ended stays as it is."""
        return await self._calls.cancel(self.execution_id, timeout)
