"""Calls of one executor merged into batches."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel

from promptflow_core.errors import FlowError
from promptflow_core.executor import BaseExecutor, ExecutionContext, ExecutionResult

_ENDS_THE_PROCESS = (SystemExit, KeyboardInterrupt, GeneratorExit)
"""What would leave the loop, and take every other call of the process along."""


@dataclass(eq=False, slots=True)
class _Item:
    context: ExecutionContext
    config: BaseModel
    cost: int
    on_start: Callable[[], None]
    answer: asyncio.Future[ExecutionResult[Any]]


class Batcher:
    """Runs calls of one executor: what comes in one turn of the loop, and while a batch runs, makes the next batch.

    An executor whose policy is one item runs its calls side by side instead.
    """

    def __init__(self, executor: BaseExecutor[Any, Any]) -> None:
        self._executor = executor
        self._waiting: deque[_Item] = deque()
        self._worker: asyncio.Task[None] | None = None

    async def run(
        self, context: ExecutionContext, config: BaseModel, on_start: Callable[[], None]
    ) -> ExecutionResult[Any]:
        """The answer to one call; raises what that call alone is to blame for. `on_start` says: it has its turn."""
        if self._executor.batch.max_items <= 1:
            on_start()
            return await self._run_alone(context, config)
        item = _Item(context, config, self._executor.cost(config), on_start, asyncio.get_running_loop().create_future())
        self._waiting.append(item)
        if self._worker is None or self._worker.done():
            self._worker = asyncio.get_running_loop().create_task(self._run_waiting())
        return await item.answer

    async def close(self) -> None:
        """Stop what runs."""
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.wait([self._worker])

    async def _run_alone(self, context: ExecutionContext, config: BaseModel) -> ExecutionResult[Any]:
        try:
            return await self._executor.execute(context, config)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            raise RuntimeError("the executor cancelled its own call") from None
        except _ENDS_THE_PROCESS as error:
            raise _contained(error) from error

    async def _run_waiting(self) -> None:
        # A task starts after what is ready in this turn.
        while batch := self._next_batch():
            await self._run_batch(batch)

    def _next_batch(self) -> list[_Item]:
        policy = self._executor.batch
        batch: list[_Item] = []
        cost = 0
        while self._waiting and len(batch) < policy.max_items:
            item = self._waiting[0]
            if item.answer.done():
                self._waiting.popleft()
                continue
            cost += item.cost
            if batch and policy.max_cost and cost > policy.max_cost:
                break
            batch.append(self._waiting.popleft())
        return batch

    async def _run_batch(self, batch: Sequence[_Item]) -> None:
        for item in batch:
            item.on_start()
        task = asyncio.get_running_loop().create_task(self._execute(batch))

        def stop_if_unwanted(_: object) -> None:
            if all(item.answer.done() for item in batch):
                task.cancel()

        for item in batch:
            item.answer.add_done_callback(stop_if_unwanted)
        try:
            await asyncio.wait([task])
        finally:
            task.cancel()
        if task.cancelled():
            error: BaseException | None = RuntimeError("the executor cancelled its own batch")
        else:
            error = task.exception()
        if error is None:
            _settle(batch, task.result())
        elif isinstance(error, FlowError):
            # The executor says why, and says it of all.
            _settle(batch, [FlowError.of(error.record) for _ in batch])
        elif len(batch) == 1:
            _settle(batch, [error])
        else:
            await self._run_halves([item for item in batch if not item.answer.done()])

    async def _run_halves(self, batch: Sequence[_Item]) -> None:
        """One of them is to blame, and found by halving."""
        middle = len(batch) // 2
        for half in (batch[:middle], batch[middle:]):
            if half:
                await self._run_batch(half)

    async def _execute(self, batch: Sequence[_Item]) -> Sequence[ExecutionResult[Any] | FlowError]:
        try:
            answers = await self._executor.execute_batch(_merged_context(batch), [item.config for item in batch])
        except _ENDS_THE_PROCESS as error:
            raise _contained(error) from error
        if len(answers) != len(batch):
            raise RuntimeError(f"`execute_batch` gave {len(answers)} answers for {len(batch)} configs")
        return answers


def _contained(error: BaseException) -> RuntimeError:
    return RuntimeError(f"the executor raised {type(error).__name__}, which would end its process")


def _settle(batch: Sequence[_Item], answers: Sequence[ExecutionResult[Any] | BaseException]) -> None:
    for item, answer in zip(batch, answers, strict=True):
        if item.answer.done():
            continue
        if isinstance(answer, BaseException):
            item.answer.set_exception(answer)
        else:
            item.answer.set_result(answer)


def _merged_context(batch: Sequence[_Item]) -> ExecutionContext:
    """The first call's context, but everyone's progress, and time for the most patient: deadlines are kept per call."""
    first = batch[0].context
    if len(batch) == 1:
        return first

    async def emit_to_all(percentage: float, message: str) -> None:
        for item in batch:
            await item.context.emit(percentage, message)

    deadlines = [item.context.deadline_at for item in batch]
    known = [deadline for deadline in deadlines if deadline is not None]
    return replace(first, deadline_at=max(known) if len(known) == len(deadlines) else None, emit=emit_to_all)
