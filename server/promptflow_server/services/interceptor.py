"""The border of the gRPC server: every exception leaves as a status, and none leaves its text unless it is ours."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import uuid4

import grpc
import structlog

from promptflow_core.errors import FlowError, Reason
from promptflow_server.services.errors import grpc_status_of

_log = structlog.get_logger(__name__)

Handler = Any
Behaviour = Callable[[Any, Any], Any]


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


def _wrapped(handler: Handler, method: str) -> Handler:
    make, behaviour = _parts_of(handler)
    guarded = _guard_stream(behaviour, method) if inspect.isasyncgenfunction(behaviour) else _guard(behaviour, method)
    return make(guarded, handler.request_deserializer, handler.response_serializer)


def _parts_of(handler: Handler) -> tuple[Callable[..., Handler], Behaviour]:
    match bool(handler.request_streaming), bool(handler.response_streaming):
        case False, False:
            return grpc.unary_unary_rpc_method_handler, handler.unary_unary
        case False, True:
            return grpc.unary_stream_rpc_method_handler, handler.unary_stream
        case True, False:
            return grpc.stream_unary_rpc_method_handler, handler.stream_unary
        case _:
            return grpc.stream_stream_rpc_method_handler, handler.stream_stream


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
    if isinstance(error, FlowError):
        return grpc_status_of(error.record)
    reference = uuid4().hex
    _log.error("unforeseen_failure", method=method, reference=reference, exc_info=error)
    hidden = FlowError(
        Reason.INTERNAL,
        f"the server failed in an unforeseen way; its log has the details under {reference}",
        metadata={"reference": reference},
    )
    return grpc_status_of(hidden.record)
