"""Executors for tests of the engine: they wait for what a test does, never for time."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, ClassVar

from promptflow_core.errors import FlowError, Reason
from promptflow_core.executor import BaseExecutor, ExecutionContext, ExecutionResult, ExecutorConfig, ExecutorOutput

Output = dict[str, Any]


class EchoConfig(ExecutorConfig):
    value: Any = None


class EchoOutput(ExecutorOutput):
    value: Any = None


class Echo(BaseExecutor[EchoConfig, EchoOutput]):
    """Answer the value."""

    name = "echo"
    Config, Output = EchoConfig, EchoOutput

    async def execute(self, context: ExecutionContext, config: EchoConfig) -> ExecutionResult[EchoOutput]:
        return ExecutionResult(EchoOutput(value=config.value))


class PoolEcho(Echo):
    """The same, in a worker."""

    name, queue = "pool_echo", "echoes"


class StrictConfig(ExecutorConfig):
    text: str


class Strict(BaseExecutor[StrictConfig, EchoOutput]):
    """Take a text and nothing else."""

    name = "strict"
    Config, Output = StrictConfig, EchoOutput

    async def execute(self, context: ExecutionContext, config: StrictConfig) -> ExecutionResult[EchoOutput]:
        return ExecutionResult(EchoOutput(value=config.text))


class Broken(Echo):
    """Raise what no executor should, with a text that cannot be stored as it is."""

    name = "broken"

    async def execute(self, context: ExecutionContext, config: EchoConfig) -> ExecutionResult[EchoOutput]:
        raise ZeroDivisionError(f"attempt {context.attempt} \ud800")


class Refusing(Echo):
    """Answer an error that no retry mends."""

    name = "refusing"

    async def execute(self, context: ExecutionContext, config: EchoConfig) -> ExecutionResult[EchoOutput]:
        raise FlowError(Reason.FILE_UNREADABLE, "not a picture")


class Gate:
    """Where calls of one key wait until a test lets them through; says who came and who had to leave."""

    def __init__(self) -> None:
        self.came = asyncio.Semaphore(0)
        self.left = asyncio.Semaphore(0)
        self.opened = asyncio.Event()
        self.calls: list[str] = []
        self.cancelled: list[str] = []


class Gated(Echo):
    """Say how far it is, then wait at the gate that its value names."""

    name = "gated"
    gates: ClassVar[dict[str, Gate]] = {}

    async def execute(self, context: ExecutionContext, config: EchoConfig) -> ExecutionResult[EchoOutput]:
        gate = self.gates[config.value]
        gate.calls.append(context.call_id)
        await context.emit_progress(50, "at the gate")
        gate.came.release()
        try:
            await gate.opened.wait()
        except asyncio.CancelledError:
            gate.cancelled.append(context.call_id)
            gate.left.release()
            raise
        return ExecutionResult(EchoOutput(value=context.call_id))


class Chatty(Gated):
    """Say how far it is, again and again, until it is let through."""

    name = "chatty"

    async def execute(self, context: ExecutionContext, config: EchoConfig) -> ExecutionResult[EchoOutput]:
        gate = self.gates[config.value]
        gate.came.release()
        while not gate.opened.is_set():
            await context.emit_progress(50, "at the gate")
            with suppress(TimeoutError):
                async with asyncio.timeout(0.002):
                    await gate.opened.wait()
        return ExecutionResult(EchoOutput(value=context.call_id))


class PoolGated(Gated):
    """The same, in a worker."""

    name, queue = "pool_gated", "gates"


ALL = (Echo, PoolEcho, Strict, Broken, Refusing, Gated, Chatty, PoolGated)
