"""Which executor classes an installation accepts."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from promptflow_core.errors import FlowError
from promptflow_core.executor import BaseExecutor, ExecutionContext, ExecutionResult, ExecutorConfig, ExecutorOutput
from promptflow_core.registry import ExecutorClass, ExecutorRegistry


class Nothing(ExecutorConfig):
    """No fields."""


class Empty(ExecutorOutput):
    """No fields."""


class Idle(BaseExecutor[Nothing, Empty]):
    name = "idle"
    Config, Output = Nothing, Empty


class Single(Idle):
    name = "single"

    async def execute(self, context: ExecutionContext, config: Nothing) -> ExecutionResult[Empty]:
        return ExecutionResult(Empty())


class Batched(Idle):
    name = "batched"

    async def execute_batch(
        self, context: ExecutionContext, configs: Sequence[Nothing]
    ) -> Sequence[ExecutionResult[Empty] | FlowError]:
        return [ExecutionResult(Empty()) for _ in configs]


class Inherited(Single):
    name = "inherited"


def test_an_executor_may_override_either_way_to_run_itself_or_by_inheritance() -> None:
    registry = ExecutorRegistry([Single, Batched, Inherited])
    assert sorted(registry.catalog()) == ["batched", "inherited", "single"]


@pytest.mark.parametrize(
    ("classes", "problem"),
    [
        ([Idle], "'idle' overrides neither `execute` nor `execute_batch`"),
        ([Single, Single], "two executors are called 'single'"),
    ],
)
def test_an_executor_that_cannot_run_or_be_told_apart_is_refused(classes: list[ExecutorClass], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        ExecutorRegistry(classes)
