"""Executors that provoke what real ones do rarely: long steps, failures, a pool that nobody serves."""

from __future__ import annotations

import asyncio
import os

from promptflow_core.executor import BaseExecutor, ExecutionContext, ExecutionResult, ExecutorConfig, ExecutorOutput
from promptflow_core.modeling import Int32


class NapConfig(ExecutorConfig):
    seconds: float
    note: str = ""


class NapOutput(ExecutorOutput):
    note: str
    pid: int
    attempt: Int32


class Nap(BaseExecutor[NapConfig, NapOutput]):
    """Sleep in a worker, telling how far it is."""

    name, queue = "nap", "general"
    Config, Output = NapConfig, NapOutput

    async def execute(self, context: ExecutionContext, config: NapConfig) -> ExecutionResult[NapOutput]:
        for quarter in range(4):
            await context.emit_progress(quarter * 25.0, f"quarter {quarter}")
            await asyncio.sleep(config.seconds / 4)
        return ExecutionResult(NapOutput(note=config.note, pid=os.getpid(), attempt=Int32(context.attempt)))


class FlakyConfig(ExecutorConfig):
    failures: int


class FlakyOutput(ExecutorOutput):
    attempt: Int32


class Flaky(BaseExecutor[FlakyConfig, FlakyOutput]):
    """Fail as often as told, then answer."""

    name, queue = "flaky", "general"
    Config, Output = FlakyConfig, FlakyOutput

    async def execute(self, context: ExecutionContext, config: FlakyConfig) -> ExecutionResult[FlakyOutput]:
        if context.attempt <= config.failures:
            raise RuntimeError(f"failure {context.attempt} of {config.failures}")
        return ExecutionResult(FlakyOutput(attempt=Int32(context.attempt)))


class Stranded(Nap):
    """Needs a pool that nobody serves."""

    name, queue = "stranded", "nowhere"
