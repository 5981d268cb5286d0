"""The client without asyncio, for scripts and for threads: the asynchronous classes, blocking.

Written by `promptflow_codegen.emit.python_sync` from the text of those classes; a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, Self, TypeVar

import grpc

from promptflow_client import flow as _flow
from promptflow_client import handle as _handle
from promptflow_client import promptflow as _promptflow
from promptflow_client.connection import ChannelOptions
from promptflow_client.credentials import MetadataHook
from promptflow_client.events import Event
from promptflow_client.executions import Execution, ExecutionStatus, ExecutionSummary, FlowInfo, FlowSummary, Health
from promptflow_client.portal import Portal, Stream
from promptflow_client.retry import RetryPolicy

__all__ = ["FlowClientBase", "Handle", "PromptFlowBase", "Stream"]

ResultT = TypeVar("ResultT")
StepsT = TypeVar("StepsT")
OutputT = TypeVar("OutputT")


@dataclass(frozen=True, slots=True)
class Bridge:
    """The asynchronous client, and the thread that it lives in."""

    portal: Portal
    promptflow: _promptflow.PromptFlowBase


class PromptFlowBase:
    """One PromptFlow, reached at `target`; a generated subclass has an attribute per flow.

    Use it in a `with` statement, or close it. It connects with the first call, and belongs to the process that made it.

    Args:
        target: `host:port`, or any other name that gRPC resolves.
        metadata: gives the headers of each call: `api_key(…)`, `bearer(…)` or a function of yours.
        credentials: `grpc.ssl_channel_credentials()` for TLS; without, the connection is plain.
        options: channel options of gRPC; they come after, and so replace, the client's own.
        compression: `grpc.Compression.Gzip` where requests are large texts and the network is slow.
        retry: how long failures are borne; the default rides out a restart of the server.
    """

    def __init__(
        self,
        target: str,
        *,
        metadata: MetadataHook | None = None,
        credentials: grpc.ChannelCredentials | None = None,
        options: ChannelOptions = (),
        compression: grpc.Compression | None = None,
        retry: RetryPolicy | None = None,
    ) -> None:
        promptflow = _promptflow.PromptFlowBase(
            target,
            metadata=metadata,
            credentials=credentials,
            options=options,
            compression=compression,
            retry=retry,
        )
        self.connection = Bridge(Portal(promptflow.close), promptflow)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all calls and the connection; runs go on."""
        self.connection.portal.close()

    def executions(
        self,
        *,
        flow: str = "",
        version: int = 0,
        status: ExecutionStatus | Iterable[ExecutionStatus] = (),
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Stream[ExecutionSummary]:
        """Runs that the server remembers, the newest first; page after page is fetched as the reader goes on.

        Args:
            flow: its runs alone; "" for those of every flow.
            version: runs of this major version alone; 0 for those of every version.
            status: runs in this status, or in one of these; none for those in any.
            page_size: how many are fetched at once, at most 1000; 0 leaves it to the server.
            timeout: in seconds, for each page.
        """
        return Stream(
            self.connection.portal,
            self.connection.promptflow.executions(
                flow=flow,
                version=version,
                status=status,
                page_size=page_size,
                timeout=timeout,
            ),
        )

    def flows(
        self,
        *,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Stream[FlowSummary]:
        """Flows that the server has now, by name and version; also those that this client was not generated for."""
        return Stream(self.connection.portal, self.connection.promptflow.flows(page_size=page_size, timeout=timeout))


class FlowClientBase(Generic[ResultT, StepsT, OutputT]):
    """One flow of one PromptFlow.

    `timeout` is in seconds. In `run`, `stream` and `run_batch` it bounds the runs as well as the wait, since nobody
    would be there for what comes later; in `start` it bounds the start alone. Without one, a run is awaited for as
    long as the server shows signs of life.
    """

    def __init__(self, portal: Portal, inner: _flow.FlowClientBase[ResultT, StepsT, OutputT]) -> None:
        self._portal = portal
        self._inner = inner

    def handle(
        self,
        execution_id: str,
    ) -> Handle[ResultT, StepsT, OutputT]:
        """A run that was started elsewhere; nothing is sent."""
        return Handle(self._portal, self._inner.handle(execution_id))

    def executions(
        self,
        *,
        status: ExecutionStatus | Iterable[ExecutionStatus] = (),
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Stream[ExecutionSummary]:
        """Runs of this flow and major version, the newest first; arguments as in `executions` of `PromptFlow`."""
        return Stream(self._portal, self._inner.executions(status=status, page_size=page_size, timeout=timeout))

    def info(
        self,
        *,
        timeout: float | None = None,
    ) -> FlowInfo:
        """The flow as the server runs it."""
        return self._portal.call(self._inner.info(timeout=timeout))

    def health(
        self,
        *,
        timeout: float | None = None,
    ) -> Health:
        """Whether everything that the flow needs answers."""
        return self._portal.call(self._inner.health(timeout=timeout))


class Handle(Generic[ResultT, StepsT, OutputT]):
    """A run by its id. It holds nothing else: another process makes the same one with `handle(execution_id)`.

    `timeout` is in seconds; a wait that it ends raises DeadlineExceededError, and the run goes on.
    """

    def __init__(self, portal: Portal, inner: _handle.Handle[ResultT, StepsT, OutputT]) -> None:
        self._portal = portal
        self._inner = inner
        self.execution_id = inner.execution_id

    def __repr__(self) -> str:
        return f"Handle({self.execution_id!r})"

    def result(
        self,
        *,
        timeout: float | None = None,
    ) -> ResultT:
        """Wait for the end of the run.

        Raises:
            PromptFlowError: the run failed or was cancelled, or its end cannot be learnt.
        """
        return self._portal.call(self._inner.result(timeout=timeout))

    def events(
        self,
        after: int = 0,
        *,
        read_mask: Sequence[str] = (),
        timeout: float | None = None,
    ) -> Stream[Event[Execution[ResultT, StepsT], OutputT]]:
        """What happened after sequence `after`, then what happens, up to `Done`; resumes by itself after a cut.

        `read_mask` names the fields of executions that come, as in `Options`.
        """
        return Stream(self._portal, self._inner.events(after, read_mask=read_mask, timeout=timeout))

    def status(
        self,
        *,
        read_mask: Sequence[str] = (),
        timeout: float | None = None,
    ) -> Execution[ResultT, StepsT]:
        """The run as it stands; `read_mask` names the fields that come, as in `Options`."""
        return self._portal.call(self._inner.status(read_mask=read_mask, timeout=timeout))

    def cancel(
        self,
        *,
        timeout: float | None = None,
    ) -> Execution[ResultT, StepsT]:
        """Ask the run to end, and give it as it stands then; a run that has ended stays as it is."""
        return self._portal.call(self._inner.cancel(timeout=timeout))
