"""The border of the gRPC server: every exception leaves as a status, and none leaves its text unless it is ours."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar
from uuid import uuid4

import grpc
import structlog

from promptflow_core.errors import ErrorRecord, FlowError, Reason
from promptflow_server.services.compression import decide
from promptflow_server.services.errors import grpc_status_of

_log = structlog.get_logger(__name__)

Handler = Any
Behaviour = Callable[[Any, Any], Any]
T = TypeVar("T")


class ErrorInterceptor(grpc.aio.ServerInterceptor):
    """Maps `FlowError` to its status, anything unforeseen to INTERNAL with a reference id that the log repeats."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        """Wrap the handler of one call."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        method = str(handler_call_details.method)
        return _wrapped(handler, method)


async def settled(answer: Awaitable[T], method: str) -> T | ErrorRecord:
    """What a part of a call answers, or the error as which its exception leaves: the other parts go on."""
    try:
        return await answer
    except Exception as error:
        return _record_of(error, method)


def _wrapped(handler: Handler, method: str) -> Handler:
    """The same handler behind the border, in the form that takes a stream of requests.

    Where gRPC itself reads the one request of a call, it leaves a call without one unanswered.
    """
    behaviour = _behaviour_of(handler)
    if not handler.request_streaming:
        behaviour = _on_stream(behaviour) if inspect.isasyncgenfunction(behaviour) else _on_unary(behaviour)
    read, serialize = handler.request_deserializer, handler.response_serializer
    if not handler.response_streaming:
        guarded = _guard(_packing(behaviour, serialize), method)
        make: Callable[..., Handler] = grpc.stream_unary_rpc_method_handler
        return make(guarded, read, None)
    guarded = _guard_stream(behaviour, method) if inspect.isasyncgenfunction(behaviour) else _guard(behaviour, method)
    return grpc.stream_stream_rpc_method_handler(guarded, read, serialize)


def _on_unary(behaviour: Behaviour) -> Behaviour:
    async def answer(requests: AsyncIterator[Any], context: Any) -> Any:
        return await behaviour(await _only(requests), context)

    return answer


def _on_stream(behaviour: Behaviour) -> Behaviour:
    async def answer(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        async for response in behaviour(await _only(requests), context):
            yield response

    return answer


async def _only(requests: AsyncIterator[Any]) -> Any:
    """The request of a call that takes one."""
    async for request in requests:
        return request
    raise FlowError(Reason.MALFORMED_REQUEST, "the call carries no message, or one that was cut off")


def _packing(behaviour: Behaviour, serialize: Callable[[Any], bytes] | None) -> Behaviour:
    """Answers in its wire form, whose size decides whether it is packed."""

    async def answer(request: Any, context: Any) -> bytes:
        response = await behaviour(request, context)
        data: bytes = response if serialize is None else serialize(response)
        decide(len(data), context)
        return data

    return answer


def _behaviour_of(handler: Handler) -> Behaviour:
    match bool(handler.request_streaming), bool(handler.response_streaming):
        case False, False:
            behaviour: Behaviour = handler.unary_unary
        case False, True:
            behaviour = handler.unary_stream
        case True, False:
            behaviour = handler.stream_unary
        case _:
            behaviour = handler.stream_stream
    return behaviour


def _guard(behaviour: Behaviour, method: str) -> Behaviour:
    async def guarded(request: Any, context: Any) -> Any:
        try:
            return await behaviour(request, context)
        except grpc.aio.AbortError:
            raise
        except Exception as error:
            await context.abort_with_status(_status_for(error, method))

    return guarded


def _guard_stream(behaviour: Behaviour, method: str) -> Behaviour:
    async def guarded(request: Any, context: Any) -> AsyncIterator[Any]:
        try:
            async for response in behaviour(request, context):
                yield response
        except grpc.aio.AbortError:
            raise
        except Exception as error:
            await context.abort_with_status(_status_for(error, method))

    return guarded


def _status_for(error: Exception, method: str) -> grpc.Status:
    return grpc_status_of(_record_of(error, method))


def _record_of(error: Exception, method: str) -> ErrorRecord:
    if isinstance(error, FlowError):
        return error.record
    reference = uuid4().hex
    _log.error("unforeseen_failure", method=method, reference=reference, exc_info=error)
    hidden = FlowError(
        Reason.INTERNAL,
        f"the server failed in an unforeseen way; its log has the details under {reference}",
        metadata={"reference": reference},
    )
    return hidden.record
