"""A real gRPC server with every service of a bundle, and a client that knows it by descriptors alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import grpc
from google.api import httpbody_pb2  # type: ignore[import-untyped]
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]
from grpc_status.rpc_status import aio as rpc_status

from promptflow_codegen.bundle import Bundle
from promptflow_core.records import Call
from promptflow_server.engine.interface import Engine
from promptflow_server.services.admission import Admission
from promptflow_server.services.all_services import Backend, all_handlers
from promptflow_server.services.compression import CHANNEL_OPTIONS
from promptflow_server.services.contracts import Contracts, FlowContract, Message
from promptflow_server.services.interceptor import ErrorInterceptor
from promptflow_server.services.planning import CallCost, unknown_cost
from promptflow_workers.dispatch.blobs import BlobStore
from promptflow_workers.dispatch.interface import QueueDepth

MAX_FILE_BYTES = 1 << 16
MAX_MESSAGE_BYTES = 4 << 20
DEADLINE_S = 8.0


class Pools:
    """`CallDispatch.depth` as the test sets it; nothing else is asked of it here."""

    def __init__(self) -> None:
        self.depths: dict[str, QueueDepth] = {}

    async def depth(self, queue: str) -> QueueDepth:
        return self.depths.get(queue, QueueDepth(workers=1, waiting=0, oldest_ms=0))

    async def put(self, queue: str, calls: Sequence[Call]) -> None:
        raise NotImplementedError

    def replies(self) -> AsyncIterator[Any]:
        raise NotImplementedError

    async def ack(self, queue: str, call_ids: Sequence[str]) -> None:
        raise NotImplementedError

    async def cancel(self, queue: str, call_ids: Sequence[str]) -> None:
        raise NotImplementedError


@dataclass
class Redis:
    """What `ping` finds."""

    problem: Exception | None = None

    async def ping(self) -> None:
        if self.problem is not None:
            raise self.problem


@dataclass(frozen=True)
class CallError(Exception):
    """A call that failed, with its details unpacked."""

    code: grpc.StatusCode
    message: str
    info: error_details_pb2.ErrorInfo
    violations: dict[str, str]
    retry_after_s: float | None
    headers: dict[str, str]


@dataclass
class Server:
    """A running server and what is behind it."""

    address: str
    contract: FlowContract
    files: Path
    pools: Pools
    redis: Redis
    channel: grpc.aio.Channel
    sent_headers: dict[str, str] = field(default_factory=dict)

    async def call(self, method: str, request: Message | bytes, **options: Any) -> Message:
        """A unary call; raises `CallError`."""
        call = self._multicallable("unary_unary", method)(_wire(request), **{"timeout": DEADLINE_S, **options})
        return self._output(method).FromString(await self._answer(call))

    async def stream(self, method: str, request: Message | bytes, **options: Any) -> AsyncGenerator[Message, None]:
        """A streaming call; raises `CallError`."""
        call = self._multicallable("unary_stream", method)(_wire(request), **{"timeout": DEADLINE_S, **options})
        try:
            self.sent_headers = _plain(await call.initial_metadata())
            async for data in call:
                yield self._output(method).FromString(data)
        except grpc.aio.AioRpcError as error:
            raise await failure_of(error, call) from None
        finally:
            call.cancel()

    async def post(
        self,
        chunks: Sequence[bytes],
        content_type: str,
        headers: dict[str, str] | None = None,
        timeout_s: float = DEADLINE_S,
        method: str = "Execute",
    ) -> Message:
        """ExecuteHttp, or the twin of another unary method, as Envoy calls it; raises `CallError`."""
        call = self._multicallable("stream_unary", f"{method}Http")(
            _bodies(chunks, content_type), timeout=timeout_s, metadata=_metadata(headers)
        )
        return self._output(method).FromString(await self._answer(call))

    async def post_stream(
        self, chunks: Sequence[bytes], content_type: str, headers: dict[str, str] | None = None
    ) -> AsyncGenerator[Message, None]:
        """ExecuteStreamHttp as Envoy calls it; raises `CallError`."""
        call = self._multicallable("stream_stream", "ExecuteStreamHttp")(
            _bodies(chunks, content_type), timeout=DEADLINE_S, metadata=_metadata(headers)
        )
        async for body in self._http_bodies(call):
            yield body

    async def watch_http(
        self, request: Message, headers: dict[str, str] | None = None
    ) -> AsyncGenerator[Message, None]:
        """WatchHttp as Envoy calls it; raises `CallError`."""
        call = self._multicallable("unary_stream", "WatchHttp")(
            _wire(request), timeout=DEADLINE_S, metadata=_metadata(headers)
        )
        async for body in self._http_bodies(call):
            yield body

    def stored_files(self) -> list[Path]:
        """What lies in the file store."""
        return sorted(path for path in self.files.rglob("*") if path.is_file())

    async def _http_bodies(self, call: Any) -> AsyncIterator[httpbody_pb2.HttpBody]:
        try:
            self.sent_headers = _plain(await call.initial_metadata())
            async for data in call:
                yield httpbody_pb2.HttpBody.FromString(data)
        except grpc.aio.AioRpcError as error:
            raise await failure_of(error, call) from None
        finally:
            call.cancel()

    async def _answer(self, call: Any) -> bytes:
        try:
            data: bytes = await call
        except grpc.aio.AioRpcError as error:
            raise await failure_of(error, call) from None
        self.sent_headers = _plain(await call.initial_metadata())
        return data

    def _multicallable(self, kind: str, method: str) -> Any:
        return getattr(self.channel, kind)(f"/{self.contract.service}/{method}")

    def _output(self, method: str) -> Any:
        return {
            "ExecuteStream": self.contract.event,
            "Watch": self.contract.event,
            "BatchExecute": self.contract.batch_execute_response,
            "Plan": self.contract.plan_response,
            "GetInfo": self.contract.get_info_response,
            "CheckHealth": self.contract.check_health_response,
        }.get(method, self.contract.execution)


async def failure_of(error: grpc.aio.AioRpcError, call: Any) -> CallError:
    """What a caller learns from a failed call."""
    status: status_pb2.Status | None = await rpc_status.from_call(call)
    info, violations, retry_after_s = error_details_pb2.ErrorInfo(), {}, None
    for detail in status.details if status is not None else ():
        bad, retry = error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
        detail.Unpack(info)
        if detail.Unpack(bad):
            violations = {violation.field: violation.description for violation in bad.field_violations}
        if detail.Unpack(retry):
            retry_after_s = retry.retry_delay.ToTimedelta().total_seconds()
    headers = _plain(await call.initial_metadata())
    return CallError(error.code(), error.details() or "", info, violations, retry_after_s, headers)


@asynccontextmanager
async def serving(
    bundle: Bundle,
    engine: Engine,
    files: Path,
    *,
    heartbeat_s: float = 15.0,
    cost_of: CallCost = unknown_cost,
    plan_slots: asyncio.Semaphore | None = None,
    batch_starts: asyncio.Semaphore | None = None,
) -> AsyncIterator[Server]:
    """Serve a bundle on a free port; its first flow is the one that the client calls."""
    contracts, pools, redis = Contracts.of(bundle), Pools(), Redis()
    admission = Admission(engine, BlobStore(files), max_file_bytes=MAX_FILE_BYTES)
    options = (*CHANNEL_OPTIONS, ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES))
    server = grpc.aio.server(interceptors=[ErrorInterceptor()], options=options)
    backend = Backend(engine, admission, pools, redis.ping, heartbeat_s, cost_of=cost_of)
    backend = replace(
        backend,
        plan_slots=plan_slots or backend.plan_slots,
        batch_starts=batch_starts or backend.batch_starts,
    )
    server.add_generic_rpc_handlers(tuple(all_handlers(bundle, contracts, backend)))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    address = f"127.0.0.1:{port}"
    async with grpc.aio.insecure_channel(address) as channel:
        yield Server(address, contracts.flows[0], files, pools, redis, channel)
    await server.stop(None)


def _wire(request: Message | bytes) -> bytes:
    return request if isinstance(request, bytes) else request.SerializeToString()


async def _bodies(chunks: Sequence[bytes], content_type: str) -> AsyncIterator[bytes]:
    for index, chunk in enumerate(chunks):
        body = httpbody_pb2.HttpBody(content_type="" if index else content_type, data=chunk)
        yield body.SerializeToString()


def _metadata(headers: dict[str, str] | None) -> tuple[tuple[str, str], ...]:
    return tuple((headers or {}).items())


def _plain(metadata: Any) -> dict[str, str]:
    return {str(key): str(value) for key, value in metadata or ()}
