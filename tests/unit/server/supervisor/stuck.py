"""An executor whose model never arrives."""

from __future__ import annotations

import asyncio

from promptflow_core.executor import BaseExecutor, ExecutionContext, ExecutionResult, ExecutorConfig, ExecutorOutput


class StuckConfig(ExecutorConfig):
    """Nothing."""


class StuckOutput(ExecutorOutput):
    """Nothing."""


class Stuck(BaseExecutor[StuckConfig, StuckOutput]):
    """Wait for weights that trickle."""

    name = "stuck"
    queue = "stuck"
    Config, Output = StuckConfig, StuckOutput

    async def start(self) -> None:
        await asyncio.Event().wait()

    async def execute(self, context: ExecutionContext, config: StuckConfig) -> ExecutionResult[StuckOutput]:
        raise AssertionError("it never starts")
