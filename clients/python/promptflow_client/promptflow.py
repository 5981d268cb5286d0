"""What a generated `PromptFlow` stands on: one connection, and what belongs to no single flow."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from types import TracebackType
from typing import Self

import grpc

from promptflow_client.connection import ChannelOptions, Connection
from promptflow_client.credentials import MetadataHook
from promptflow_client.executions import ExecutionStatus, ExecutionSummary, FlowSummary
from promptflow_client.lists import list_executions, list_flows
from promptflow_client.retry import RetryPolicy


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
        self.connection = Connection(
            target, metadata=metadata, credentials=credentials, options=options, compression=compression, retry=retry
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End all calls and the connection; runs go on."""
        await self.connection.close()

    def executions(
        self,
        *,
        flow: str = "",
        version: int = 0,
        status: ExecutionStatus | Iterable[ExecutionStatus] = (),
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncGenerator[ExecutionSummary, None]:
        """Runs that the server remembers, the newest first; page after page is fetched as the reader goes on.

        Args:
            flow: its runs alone; "" for those of every flow.
            version: runs of this major version alone; 0 for those of every version.
            status: runs in this status, or in one of these; none for those in any.
            page_size: how many are fetched at once, at most 1000; 0 leaves it to the server.
            timeout: in seconds, for each page.
        """
        return list_executions(
            self.connection, flow=flow, version=version, status=status, page_size=page_size, timeout=timeout
        )

    def flows(self, *, page_size: int = 0, timeout: float | None = None) -> AsyncGenerator[FlowSummary, None]:
        """Flows that the server has now, by name and version; also those that this client was not generated for."""
        return list_flows(self.connection, page_size=page_size, timeout=timeout)
