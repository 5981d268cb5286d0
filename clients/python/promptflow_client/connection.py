"""One channel to one address: headers, deadlines, and calls tried again where that is safe."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from inspect import isawaitable
from types import TracebackType
from typing import Any, Self

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message_factory import GetMessageClass

from promptflow_client.credentials import Headers, MetadataHook
from promptflow_client.errors import InternalError, Reason, UnavailableError, error_of_call
from promptflow_client.retry import Attempts, Clock, RetryPolicy

ChannelOptions = Sequence[tuple[str, Any]]
MessageT = Any
"""A message whose fields are known to descriptors alone."""

MAX_RECEIVED_BYTES = 64 << 20
_CHANNEL_OPTIONS: ChannelOptions = (
    ("grpc.max_receive_message_length", MAX_RECEIVED_BYTES),
    ("grpc.max_send_message_length", -1),
    # The channel's own back-off grows to two minutes, in which no try of ours would reach the network.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    # A peer that vanished without a word is noticed within half a minute; pings only while a call is open.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
)


@dataclass(frozen=True, slots=True)
class Method:
    """One rpc of a service."""

    path: str
    request: Callable[..., MessageT]
    parse_response: Callable[[bytes], MessageT]

    @classmethod
    def of(cls, method: MethodDescriptor) -> Method:
        """The method that a descriptor describes."""
        service = method.containing_service.full_name
        response = GetMessageClass(method.output_type)
        return cls(f"/{service}/{method.name}", GetMessageClass(method.input_type), response.FromString)


class Connection:
    """A channel and how to call through it. Made in any thread, used in one event loop."""

    def __init__(
        self,
        target: str,
        *,
        metadata: MetadataHook | None = None,
        credentials: grpc.ChannelCredentials | None = None,
        options: ChannelOptions = (),
        retry: RetryPolicy | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.policy = retry or RetryPolicy()
        self.clock = clock or Clock()
        self._target = target
        self._metadata = metadata
        self._credentials = credentials
        self._options = (*_CHANNEL_OPTIONS, ("grpc.primary_user_agent", _user_agent()), *options)
        self._channel: grpc.aio.Channel | None = None
        self._closed = False

    async def call(self, method: Method, request: MessageT, timeout_s: float | None) -> MessageT:
        """Make a unary call; UNAVAILABLE is tried again. `request` must be one that may be sent twice.

        Raises:
            PromptFlowError: the server's answer, or the last failure when patience or deadline is over.
        """
        attempts = Attempts(self.policy, self.clock, self.policy.call_s if timeout_s is None else timeout_s)
        channel = self._opened()
        multicallable = channel.unary_unary(method.path, _serialize, method.parse_response)
        while True:
            headers = await self._headers()
            try:
                with self._failures():
                    return _readable(await multicallable(request, timeout=attempts.remaining_s, metadata=headers))
            except UnavailableError as error:
                await attempts.wait(error)

    async def messages(
        self, method: Method, request: MessageT, timeout_s: float | None
    ) -> AsyncGenerator[MessageT, None]:
        """Open a stream once and give its messages; closing the generator ends the call.

        Raises:
            PromptFlowError: as the stream ended; UnavailableError too when it is silent for too long.
        """
        multicallable = self._opened().unary_stream(method.path, _serialize, method.parse_response)
        call = multicallable(request, timeout=timeout_s, metadata=await self._headers())
        silence_s = self.policy.silence_s
        try:
            while True:
                with self._failures():
                    async with asyncio.timeout(silence_s):
                        message = await call.read()
                if message is grpc.aio.EOF:
                    return
                yield _readable(message)
        except TimeoutError:
            raise UnavailableError(f"the stream was silent for {silence_s:g} s") from None
        finally:
            call.cancel()

    async def close(self) -> None:
        """End all calls and the channel; a second time does nothing."""
        self._closed = True
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close()

    def _opened(self) -> grpc.aio.Channel:
        self._check_open()
        if self._channel is None:
            if self._credentials is None:
                self._channel = grpc.aio.insecure_channel(self._target, self._options)
            else:
                self._channel = grpc.aio.secure_channel(self._target, self._credentials, self._options)
        return self._channel

    @contextmanager
    def _failures(self) -> Generator[None]:
        try:
            yield
        except grpc.aio.AioRpcError as failure:
            self._check_open()
            raise error_of_call(failure) from None
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and not task.cancelling():
                # gRPC reports its own end this way; nobody cancelled the task that waits.
                self._check_open()
            raise

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("this client is closed; open another one") from None

    async def _headers(self) -> grpc.aio.Metadata | None:
        if self._metadata is None:
            return None
        found = self._metadata()
        headers: Headers = await found if isawaitable(found) else found
        return grpc.aio.Metadata(*headers)


class PromptFlowBase:
    """One PromptFlow, reached at `target`; a generated subclass has an attribute per flow.

    Use it as `async with`, or close it. It connects with the first call.

    Args:
        target: `host:port`, or any other name that gRPC resolves.
        metadata: gives the headers of each call: `api_key(…)`, `bearer(…)` or a function of yours.
        credentials: `grpc.ssl_channel_credentials()` for TLS; without, the connection is plain.
        options: channel options of gRPC; they come after, and so replace, the client's own.
        retry: how long failures are borne; the default rides out a restart of the server.
    """

    def __init__(
        self,
        target: str,
        *,
        metadata: MetadataHook | None = None,
        credentials: grpc.ChannelCredentials | None = None,
        options: ChannelOptions = (),
        retry: RetryPolicy | None = None,
    ) -> None:
        self.connection = Connection(target, metadata=metadata, credentials=credentials, options=options, retry=retry)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End all calls and the connection; runs go on."""
        await self.connection.close()


def _readable(message: MessageT) -> MessageT:
    # grpc.aio hands on None where a message could not be parsed.
    if message is None:
        # With a reason: asking again would give the same.
        why = "an answer of the server cannot be read; are client and server of the same flow?"
        raise InternalError(why, reason=Reason.INTERNAL)
    return message


def _serialize(message: MessageT) -> bytes:
    data: bytes = message.SerializeToString()
    return data


def _user_agent() -> str:
    try:
        return f"promptflow-python/{version('promptflow-grpc-client')}"
    except PackageNotFoundError:
        return "promptflow-python"
