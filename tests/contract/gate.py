"""An executor that runs in the server and waits for the test."""

from __future__ import annotations

import asyncio
from typing import ClassVar

from promptflow_core.executor import BaseExecutor, ExecutionContext, ExecutionResult, ExecutorConfig, ExecutorOutput


class GateConfig(ExecutorConfig):
    name: str


class GateOutput(ExecutorOutput):
    name: str


class Gate(BaseExecutor[GateConfig, GateOutput]):
    """Wait until the gate of this name is opened."""

    name = "gate"
    Config, Output = GateConfig, GateOutput

    reached: ClassVar[dict[str, asyncio.Event]] = {}
    opened: ClassVar[dict[str, asyncio.Event]] = {}

    @classmethod
    def new(cls, name: str) -> None:
        """A closed gate."""
        cls.reached[name], cls.opened[name] = asyncio.Event(), asyncio.Event()

    async def execute(self, context: ExecutionContext, config: GateConfig) -> ExecutionResult[GateOutput]:
        self.reached[config.name].set()
        await self.opened[config.name].wait()
        return ExecutionResult(GateOutput(name=config.name))
