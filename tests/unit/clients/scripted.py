"""A real gRPC server that does what a test tells it: per method a list of scripts, one for each call in turn."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message as ProtoMessage
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]
from grpc_status import rpc_status

Message = Any
RUN = "0b0e7e54-6d5b-5f0e-9a3c-3f1f6d1a7a11"


@dataclass(frozen=True, slots=True)
class Fail:
    """End the call with this status."""

    code: grpc.StatusCode
    message: str = "as the test says"
    reason: str = ""
    details: tuple[Message, ...] = ()

    def status(self) -> Message:
        """The status as the server of PromptFlow would send it."""
        status = status_pb2.Status(code=self.code.value[0], message=self.message)
        if self.reason:
            info = error_details_pb2.ErrorInfo(reason=self.reason, domain="promptflow", metadata={"step": "echo"})
            status.details.add().Pack(info)
        for detail in self.details:
            if isinstance(detail, AnyMessage):
                status.details.append(detail)
            else:
                status.details.add().Pack(detail)
        return status


@dataclass(frozen=True, slots=True)
class Silence:
    """Say nothing until the call is over."""


Script = Sequence[Message | Fail | Silence]
"""A message may also be a function that makes it of the request."""


def retry_info(delay: timedelta) -> Message:
    """The detail that says when to come back."""
    info = error_details_pb2.RetryInfo()
    info.retry_delay.FromTimedelta(delay)
    return info


def bad_request(**violations: str) -> Message:
    """The detail that says what is wrong with each field."""
    request = error_details_pb2.BadRequest()
    for name, description in violations.items():
        request.field_violations.add(field=name, description=description)
    return request


@dataclass(slots=True)
class ScriptedServer:
    """What it was told to do, and what it was asked: `(method, request)` in order, with the headers of each call."""

    scripts: dict[str, list[Script]]
    target: str = ""
    calls: list[tuple[str, Message]] = field(default_factory=list[tuple[str, Message]])
    headers: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    remaining_s: list[float | None] = field(default_factory=list[float | None])
    asked_once: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def asked(self, method: str) -> list[Message]:
        """The requests of one method."""
        return [request for name, request in self.calls if name == method]

    async def play(self, method: str, request: Message, context: Any) -> AsyncIterator[Message]:
        """Do what the next script of `method` says."""
        self.calls.append((method, request))
        self.asked_once.set()
        self.headers.append(dict(context.invocation_metadata()))
        self.remaining_s.append(context.time_remaining())
        assert self.scripts.get(method), f"no script left for {method}"
        try:
            for line in self.scripts[method].pop(0):
                match line:
                    case Fail() if line.reason or line.details:
                        to_status: Any = rpc_status.to_status
                        await context.abort_with_status(to_status(line.status()))
                    case Fail():
                        await context.abort(line.code, line.message)
                    case Silence():
                        await asyncio.Event().wait()
                    case _:
                        yield line(request) if callable(line) else line
        finally:
            self.ended.set()


@asynccontextmanager
async def serve(
    service: Any, scripts: Mapping[str, Sequence[Script]], address: str = "127.0.0.1:0"
) -> AsyncIterator[ScriptedServer]:
    """A server for one service, on a free port of loopback."""
    scripted = ScriptedServer({method: list(lines) for method, lines in scripts.items()})
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler(service.full_name, _handlers(service, scripted))]
    )
    scripted.target = f"127.0.0.1:{server.add_insecure_port(address)}"
    await server.start()
    try:
        yield scripted
    finally:
        await server.stop(None)


def _handlers(service: Any, scripted: ScriptedServer) -> dict[str, Any]:
    handlers: dict[str, Any] = {}
    for method in service.methods:
        make = grpc.unary_stream_rpc_method_handler if method.server_streaming else grpc.unary_unary_rpc_method_handler
        behaviour = _stream(method.name, scripted) if method.server_streaming else _unary(method.name, scripted)
        parse = GetMessageClass(method.input_type).FromString
        handlers[method.name] = make(behaviour, parse, lambda message: message.SerializeToString())
    return handlers


def _stream(method: str, scripted: ScriptedServer) -> Callable[[Message, Any], AsyncIterator[Message]]:
    async def behaviour(request: Message, context: Any) -> AsyncIterator[Message]:
        async for message in scripted.play(method, request, context):
            yield message

    return behaviour


def _unary(method: str, scripted: ScriptedServer) -> Callable[[Message, Any], Any]:
    async def behaviour(request: Message, context: Any) -> Message:
        async for message in scripted.play(method, request, context):
            return message
        raise AssertionError(f"the script of {method} has no answer")

    return behaviour


@dataclass(frozen=True, slots=True)
class Story:
    """Events of the run RUN in the sample's messages."""

    messages: Any

    def event(self, sequence: int, kind: str, **fields: Any) -> Message:
        """One event; `fields` are those of its kind."""
        event = self.messages.Event(execution_id=RUN, sequence=sequence)
        event.time.FromSeconds(1_700_000_000 + sequence)
        content = getattr(event, kind)
        content.SetInParent()
        if kind in ("accepted", "started", "done"):
            content.execution_id = RUN
        for name, value in fields.items():
            if isinstance(value, ProtoMessage):
                getattr(content, name).CopyFrom(value)
            else:
                setattr(content, name, value)
        return event

    def run(self, text: str = "done") -> list[Message]:
        """A whole run of five events that ends well."""
        done = self.execution("COMPLETED", text)
        return [
            self.event(1, "accepted", status=1),
            self.event(2, "started", status=2),
            self.event(3, "step_started", step="echo", attempt=1),
            self.event(4, "step_completed", step="echo", attempt=1, output=self.value(text)),
            self.ended(5, done),
        ]

    def ended(self, sequence: int, execution: Message) -> Message:
        """The event `done` with an execution."""
        event = self.event(sequence, "done")
        event.done.CopyFrom(execution)
        return event

    def execution(self, status: str, text: str = "") -> Message:
        """A run in some status; with `text` it has a result."""
        execution = self.messages.Execution(execution_id=RUN)
        execution.status = _number(execution, "status", status)
        if text:
            execution.result.echo.text = text
            execution.result.echo.count = 1
        return execution

    def value(self, text: str) -> Message:
        """The output of step `echo`."""
        value = self.messages.StepValue()
        value.echo.text = text
        return value


def _number(message: Message, name: str, value: str) -> int:
    number: int = message.DESCRIPTOR.fields_by_name[name].enum_type.values_by_name[value].number
    return number


def sequences(messages: Iterable[Message]) -> list[int]:
    """The sequences of events."""
    return [message.sequence for message in messages]
