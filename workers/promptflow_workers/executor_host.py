"""One executor in a worker: started once, started again later where its model was not to be had, batched."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random
from typing import Any

import structlog
from pydantic import BaseModel, ValidationError

from promptflow_core.coercion import CoercionError, coerce
from promptflow_core.errors import FlowError, Reason, Violation
from promptflow_core.executor import BaseExecutor, ExecutionContext
from promptflow_core.modeling import object_type_of, to_native
from promptflow_core.retry import RetryPolicy, backoff_ms
from promptflow_core.values import NativeValue, encode_value
from promptflow_workers.batcher import Batcher

RESTART = RetryPolicy(initial_ms=1000, max_ms=60_000)

_log = structlog.get_logger(__name__)


class ExecutorHost:
    """Runs calls of one executor. While it cannot be started, calls answer why."""

    def __init__(self, executor: BaseExecutor[Any, Any], rng: Random, restart: RetryPolicy = RESTART) -> None:
        self._executor = executor
        self._batcher = Batcher(executor)
        self._rng = rng
        self._restart = restart
        self._has_tried = asyncio.Event()
        self._failure: FlowError | None = None
        output = executor.Output
        self._output_type = None if output is None else object_type_of(output)

    async def keep_started(self) -> None:
        """Start the executor, again and again until it succeeds."""
        attempt = 0
        while (failure := await self._start()) is not None:
            attempt += 1
            delay_ms = backoff_ms(attempt, self._restart, self._rng)
            self._failure = failure
            self._has_tried.set()
            _log.warning("executor_unavailable", executor=self._executor.name, error=str(failure), retry_ms=delay_ms)
            await asyncio.sleep(delay_ms / 1000)
        self._failure = None
        self._has_tried.set()
        _log.info("executor_ready", executor=self._executor.name)

    async def tried(self) -> None:
        """Returns when the executor was started, or failed to start once."""
        await self._has_tried.wait()

    async def run(self, context: ExecutionContext, config: NativeValue, on_start: Callable[[], None]) -> bytes:
        """The output of one call, as msgpack.

        Raises:
            FlowError: CONFIG_INVALID, OUTPUT_INVALID, MODEL_UNAVAILABLE, or what the executor raises.
        """
        if self._failure is not None:
            raise FlowError.of(self._failure.record)
        validated = self._validated(config)
        result = await self._batcher.run(context, validated, on_start)
        return self._encoded(result.output)

    async def close(self) -> None:
        """Stop what runs and release the executor."""
        await self._batcher.close()
        await self._executor.close()

    async def _start(self) -> FlowError | None:
        try:
            await self._executor.start()
        except FlowError as error:
            return error
        except Exception as error:
            _log.exception("executor_start_failed", executor=self._executor.name)
            return FlowError(
                Reason.MODEL_UNAVAILABLE,
                f"executor `{self._executor.name}` cannot start: {type(error).__name__}: {error}",
            )
        return None

    def _validated(self, config: NativeValue) -> BaseModel:
        try:
            return self._executor.Config.model_validate(config)
        except ValidationError as error:
            violations = tuple(
                Violation(".".join(("config", *map(str, detail["loc"]))), detail["msg"]) for detail in error.errors()
            )
            shown = "; ".join(f"`{violation.field}`: {violation.description}" for violation in violations)
            message = f"the config of executor `{self._executor.name}` is not valid: {shown}"
            raise FlowError(Reason.CONFIG_INVALID, message, violations=violations) from None

    def _encoded(self, output: Any) -> bytes:
        try:
            native = to_native(output)
            return encode_value(native if self._output_type is None else coerce(native, self._output_type))
        except (CoercionError, TypeError) as error:
            message = f"executor `{self._executor.name}` answered what its Output does not allow: {error}"
            raise FlowError(Reason.OUTPUT_INVALID, message) from error
