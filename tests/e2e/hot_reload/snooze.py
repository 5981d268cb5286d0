"""An executor inside the server that tells how far it is while it sleeps."""

from __future__ import annotations

import asyncio

from promptflow_core.executor import BaseExecutor, ExecutionContext, ExecutionResult, ExecutorConfig, ExecutorOutput


class SnoozeConfig(ExecutorConfig):
    seconds: float


class SnoozeOutput(ExecutorOutput):
    seconds: float


class Snooze(BaseExecutor[SnoozeConfig, SnoozeOutput]):
    """Sleep, and say so now and then."""

    name = "snooze"
    Config, Output = SnoozeConfig, SnoozeOutput

    async def execute(self, context: ExecutionContext, config: SnoozeConfig) -> ExecutionResult[SnoozeOutput]:
        for part in range(20):
            await context.emit_progress(part * 5.0, f"part {part}")
            await asyncio.sleep(config.seconds / 20)
        return ExecutionResult(SnoozeOutput(seconds=config.seconds))
