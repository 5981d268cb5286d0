"""One channel to one address: headers, deadlines, and calls tried again where that is safe."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from inspect import isawaitable
from typing import Any

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message_factory import GetMessageClass

from promptflow_client.credentials import Headers, MetadataHook
from promptflow_client.errors import InternalError, PromptFlowError, Reason, UnavailableError, error_of_call
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
_BROKEN = frozenset(
    {
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNKNOWN,
    }
)
"""What gRPC makes of a reset connection or of a proxy's time limit, where no server had a word in it."""


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
    """A channel and how to call through it. Made in any thread, used in one event loop of one process."""

    def __init__(
        self,
        target: str,
        *,
        metadata: MetadataHook | None = None,
        credentials: grpc.ChannelCredentials | None = None,
        options: ChannelOptions = (),
        compression: grpc.Compression | None = None,
        retry: RetryPolicy | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.policy = retry or RetryPolicy()
        self.clock = clock or Clock()
        self._target = target
        self._metadata = metadata
        self._credentials = credentials
        self._compression = compression
        self._options = (*_CHANNEL_OPTIONS, ("grpc.primary_user_agent", _user_agent()), *options)
        self._channel: grpc.aio.Channel | None = None
        self._closed = False
        self._process = 0

    async def call(
        self, method: Method, request: MessageT, timeout_s: float | None, *, awaits_runs: bool = False
    ) -> MessageT:
        """Make a unary call; UNAVAILABLE is tried again. `request` must be one that may be sent twice.

        `awaits_runs`: the answer takes as long as runs take. Then there is no deadline unless one is given, and a
        connection that breaks on the way counts as UNAVAILABLE.

        Raises:
            PromptFlowError: the server's answer, or the last failure when patience or deadline is over.
        """
        if timeout_s is None and not awaits_runs:
            timeout_s = self.policy.call_s
        attempts = Attempts(self.policy, self.clock, timeout_s)
        channel = self._opened()
        multicallable = channel.unary_unary(method.path, _serialize, method.parse_response)
        while True:
            headers = await self._headers()
            try:
                with self._failures():
                    return _readable(await multicallable(request, timeout=attempts.remaining_s, metadata=headers))
            except PromptFlowError as error:
                if not is_cut(error, is_known=awaits_runs):
                    raise
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
            self._process = os.getpid()
            if self._credentials is None:
                self._channel = grpc.aio.insecure_channel(self._target, self._options, self._compression)
            else:
                self._channel = grpc.aio.secure_channel(
                    self._target, self._credentials, self._options, self._compression
                )
        elif self._process != os.getpid():
            # Of a copied channel nobody runs the threads: a call would wait for ever.
            raise RuntimeError("this client was used before this process was forked; open another one here")
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


def is_cut(error: PromptFlowError, *, is_known: bool) -> bool:
    """Whether a call that ended so may be made again, and not the server's word that it is over.

    `is_known`: the run has its id, so that the next call only reads.
    """
    if isinstance(error, UnavailableError):
        return True
    return is_known and not error.reason and error.code in _BROKEN


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
