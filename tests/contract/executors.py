"""Executors that run in the server: one waits for the test, one answers what it is given."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any, ClassVar, Literal

from promptflow_core.executor import BaseExecutor, ExecutionContext, ExecutionResult, ExecutorConfig, ExecutorOutput
from promptflow_core.modeling import Int32
from promptflow_core.values import FileRef


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


class EchoConfig(ExecutorConfig):
    text: str
    count: int
    small: Int32
    ratio: float
    flag: bool
    data: bytes
    page: FileRef
    moment: datetime
    wait: timedelta
    anything: Any
    color: Literal["red", "green"]
    tags: list[str]
    weights: dict[str, float]


class EchoOutput(ExecutorOutput):
    text: str
    count: int
    small: Int32
    ratio: float
    flag: bool
    data: bytes
    page: FileRef
    moment: datetime
    wait: timedelta
    anything: Any
    color: Literal["red", "green"]
    tags: list[str]
    weights: dict[str, float]


class Echo(BaseExecutor[EchoConfig, EchoOutput]):
    """Answer the config."""

    name = "echo"
    Config, Output = EchoConfig, EchoOutput

    async def execute(self, context: ExecutionContext, config: EchoConfig) -> ExecutionResult[EchoOutput]:
        return ExecutionResult(EchoOutput(**{name: getattr(config, name) for name in EchoConfig.model_fields}))
