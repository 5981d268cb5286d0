"""The API that executors implement: a typed Config in, a typed Output out."""

from __future__ import annotations

from abc import ABC
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict

from promptflow_core.errors import FlowError
from promptflow_core.modeling import object_type_of
from promptflow_core.types import ObjectType
from promptflow_core.values import FileRef

ConfigT = TypeVar("ConfigT", bound=BaseModel)
OutputT = TypeVar("OutputT")


class ExecutorConfig(BaseModel):
    """Base of every Config: unknown keys are mistakes."""

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)


class ExecutorOutput(BaseModel):
    """Base of every Output."""

    model_config = ConfigDict(arbitrary_types_allowed=True)


@dataclass(frozen=True, slots=True)
class BatchPolicy:
    """How calls are merged into one `execute_batch`: at most `max_items`, of `max_cost` together."""

    max_items: int = 1
    max_cost: int = 0


@dataclass(frozen=True, slots=True)
class ExecutionResult(Generic[OutputT]):
    """What an executor answers: an instance of its Output, or the fields of its dynamic output type."""

    output: OutputT


class Files(Protocol):
    """Read access to the file store."""

    def path(self, ref: FileRef) -> Path:
        """Where the bytes lie on this machine.

        Raises:
            FlowError: FILE_UNREADABLE where the store no longer has them.
        """
        ...


Emit = Callable[[float, str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class ExecutionContext:
    """What surrounds one call. `call_id` is the idempotency key; `deadline_at` is Unix seconds."""

    execution_id: str
    step: str
    call_id: str
    attempt: int
    deadline_at: float | None
    files: Files
    emit: Emit

    async def emit_progress(self, percentage: float, message: str = "") -> None:
        """Tell watchers how far this call is, 0 to 100. Never stored, may be dropped."""
        await self.emit(percentage, message)


class BaseExecutor(ABC, Generic[ConfigT, OutputT]):
    """One kind of step. One instance serves a whole process, and all its calls at once.

    `queue` names the worker pool; None runs it inside the server, for light or I/O-bound work alone. An executor
    overrides `execute` or `execute_batch`. Ordinary exceptions count as EXECUTOR_FAILED and are retried; raise
    `FlowError` to say more.
    """

    name: ClassVar[str]
    queue: ClassVar[str | None] = None
    batch: ClassVar[BatchPolicy] = BatchPolicy()
    Config: ClassVar[type[BaseModel]]
    Output: ClassVar[type[BaseModel] | None] = None

    @classmethod
    def output_type(cls, config: Mapping[str, Any]) -> ObjectType:
        """The fields of the output, given the step's `config` as written in YAML.

        Raises:
            ValueError: the config does not say enough to type the output; the message tells what is missing.
        """
        del config
        if cls.Output is None:
            raise TypeError(f"executor {cls.name!r} has no Output and does not override output_type")
        return object_type_of(cls.Output)

    @classmethod
    def models(cls) -> tuple[str, ...]:
        """The models that its answers come from, each `name@version`: with others it may answer otherwise.

        Asked wherever flows are generated: it is light, loads none of them, and leaves the version out where that is
        unknown.
        """
        return ()

    async def start(self) -> None:
        """Load and warm what the executor needs; called once before its first call.

        Raises:
            FlowError: MODEL_UNAVAILABLE, with what to do.
        """

    async def close(self) -> None:
        """Release what `start` took."""

    def cost(self, config: ConfigT) -> int:
        """Work that one call stands for, in the unit of `batch.max_cost`."""
        del config
        return 1

    async def execute(self, context: ExecutionContext, config: ConfigT) -> ExecutionResult[OutputT]:
        """Run one call."""
        (result,) = await self.execute_batch(context, [config])
        if isinstance(result, FlowError):
            raise result
        return result

    async def execute_batch(
        self, context: ExecutionContext, configs: Sequence[ConfigT]
    ) -> Sequence[ExecutionResult[OutputT] | FlowError]:
        """Run several calls at once: one answer per config, in order; a bad item fails alone."""
        results: list[ExecutionResult[OutputT] | FlowError] = []
        for config in configs:
            try:
                results.append(await self.execute(context, config))
            except FlowError as error:
                results.append(error)
        return results


@dataclass(frozen=True, slots=True)
class ExecutorSpec:
    """What the generator and the engine know of an executor without running it."""

    name: str
    description: str
    queue: str | None
    batch: BatchPolicy
    config: ObjectType
    output_type: Callable[[Mapping[str, Any]], ObjectType] = field(compare=False)
    models: tuple[str, ...] = ()


Catalog = Mapping[str, ExecutorSpec]
