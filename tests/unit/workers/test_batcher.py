"""Calls merged into batches, each answered as if it had been alone."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from promptflow_core.errors import FlowError, Reason
from promptflow_core.executor import (
    BaseExecutor,
    BatchPolicy,
    ExecutionContext,
    ExecutionResult,
    ExecutorConfig,
    ExecutorOutput,
)
from promptflow_core.values import FileRef
from promptflow_workers.batcher import Batcher


class Text(ExecutorConfig):
    text: str


class Answer(ExecutorOutput):
    text: str


class NoFiles:
    def path(self, ref: FileRef) -> Path:
        raise AssertionError(ref)


class Recorder(BaseExecutor[Text, Answer]):
    """Remembers its batches; waits for `may_end` where it was told to."""

    name = "recorder"
    batch = BatchPolicy(max_items=4, max_cost=10)
    Config, Output = Text, Answer

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.contexts: list[ExecutionContext] = []
        self.started = asyncio.Event()
        self.may_end = asyncio.Event()
        self.may_end.set()

    def cost(self, config: Text) -> int:
        return len(config.text)

    async def execute_batch(
        self, context: ExecutionContext, configs: Sequence[Text]
    ) -> Sequence[ExecutionResult[Answer] | FlowError]:
        self.batches.append([config.text for config in configs])
        self.contexts.append(context)
        self.started.set()
        await self.may_end.wait()
        if any(config.text == "away" for config in configs):
            raise FlowError(Reason.MODEL_UNAVAILABLE, "the model is away", metadata={"model": "m"})
        return [self.answer(config) for config in configs]

    def answer(self, config: Text) -> ExecutionResult[Answer] | FlowError:
        if config.text == "bad":
            return FlowError(Reason.FILE_UNREADABLE, "this one is bad")
        if config.text == "bug":
            raise ZeroDivisionError("this one breaks the batch")
        return ExecutionResult(Answer(text=config.text.upper()))


class Single(Recorder):
    batch = BatchPolicy()


class Forgetful(Recorder):
    async def execute_batch(
        self, context: ExecutionContext, configs: Sequence[Text]
    ) -> Sequence[ExecutionResult[Answer] | FlowError]:
        return (await super().execute_batch(context, configs))[1:]


def context(call: str = "c", deadline_at: float | None = None, told: list[str] | None = None) -> ExecutionContext:
    async def emit(percentage: float, message: str) -> None:
        if told is not None:
            told.append(f"{call} {percentage:g} {message}")

    return ExecutionContext("x", "step", call, 1, deadline_at, NoFiles(), emit)


async def run(batcher: Batcher, text: str, **about: Any) -> str:
    result = await batcher.run(context(**about), Text(text=text), lambda: None)
    answer: str = result.output.text
    return answer


async def test_calls_of_one_turn_are_one_batch_and_get_their_own_answers() -> None:
    executor = Recorder()
    batcher = Batcher(executor)
    assert await asyncio.gather(*(run(batcher, text) for text in "abc")) == ["A", "B", "C"]
    assert executor.batches == [["a", "b", "c"]]


@pytest.mark.parametrize(
    ("texts", "batches"),
    [
        (["a", "b", "c", "d", "e"], [["a", "b", "c", "d"], ["e"]]),
        (["aaaa", "bbbb", "cccc"], [["aaaa", "bbbb"], ["cccc"]]),
        (["aaaaaaaaaaaa", "b"], [["aaaaaaaaaaaa"], ["b"]]),
    ],
    ids=["by number", "by cost", "one that costs too much alone"],
)
async def test_batches_keep_to_the_policy_and_the_order(texts: list[str], batches: list[list[str]]) -> None:
    executor = Recorder()
    batcher = Batcher(executor)
    await asyncio.gather(*(run(batcher, text) for text in texts))
    assert executor.batches == batches


async def test_what_comes_while_a_batch_runs_is_the_next_batch() -> None:
    executor = Recorder()
    executor.may_end.clear()
    batcher = Batcher(executor)
    first = asyncio.create_task(run(batcher, "a"))
    await executor.started.wait()
    rest = [asyncio.create_task(run(batcher, text)) for text in "bcd"]
    await asyncio.wait(rest, timeout=0)
    executor.may_end.set()
    assert await asyncio.gather(first, *rest) == ["A", "B", "C", "D"]
    assert executor.batches == [["a"], ["b", "c", "d"]]


@pytest.mark.parametrize(
    ("text", "error"), [("bad", FlowError), ("bug", ZeroDivisionError)], ids=["answered", "raised"]
)
async def test_a_bad_call_fails_alone(text: str, error: type[Exception]) -> None:
    batcher = Batcher(Recorder())
    answers = await asyncio.gather(*(run(batcher, each) for each in ("a", text, "c")), return_exceptions=True)
    assert answers[0] == "A"
    assert answers[2] == "C"
    assert isinstance(answers[1], error)


async def test_a_refusal_of_the_whole_batch_is_everyones_and_is_not_tried_again() -> None:
    executor = Recorder()
    batcher = Batcher(executor)
    answers = await asyncio.gather(*(run(batcher, each) for each in ("a", "away", "c")), return_exceptions=True)
    records = [answer.record for answer in answers if isinstance(answer, FlowError)]
    assert records == 3 * [FlowError(Reason.MODEL_UNAVAILABLE, "the model is away", metadata={"model": "m"}).record]
    assert len({id(answer) for answer in answers}) == 3
    assert executor.batches == [["a", "away", "c"]]


class Wide(Recorder):
    batch = BatchPolicy(max_items=16)


async def test_the_one_that_breaks_a_batch_is_found_by_halving() -> None:
    executor = Wide()
    texts = ["bug", *"abcdefghijklmno"]
    batcher = Batcher(executor)
    answers = await asyncio.gather(*(run(batcher, text) for text in texts), return_exceptions=True)
    assert isinstance(answers[0], ZeroDivisionError)
    assert answers[1:] == list("ABCDEFGHIJKLMNO")
    assert [len(batch) for batch in executor.batches] == [16, 8, 4, 2, 1, 1, 2, 4, 8]


async def test_an_executor_that_cancels_itself_fails_its_call_and_a_cancelled_call_is_cancelled() -> None:
    class Quitter(Single):
        async def execute(self, context: ExecutionContext, config: Text) -> ExecutionResult[Answer]:
            if config.text == "quit":
                raise asyncio.CancelledError
            self.started.set()
            await asyncio.Event().wait()
            raise AssertionError

    executor = Quitter()
    batcher = Batcher(executor)
    with pytest.raises(RuntimeError, match="cancelled its own call"):
        await run(batcher, "quit")
    task = asyncio.create_task(run(batcher, "a"))
    await executor.started.wait()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def test_a_batch_with_too_few_answers_fails_rather_than_mixing_them_up() -> None:
    with pytest.raises(RuntimeError, match="0 answers for 1"):
        await run(Batcher(Forgetful()), "a")


async def test_a_call_that_was_cancelled_while_it_waited_is_not_run() -> None:
    executor = Recorder()
    executor.may_end.clear()
    batcher = Batcher(executor)
    first = asyncio.create_task(run(batcher, "a"))
    await executor.started.wait()
    second, third = (asyncio.create_task(run(batcher, text)) for text in "bc")
    await asyncio.wait([second, third], timeout=0)
    second.cancel()
    executor.may_end.set()
    assert (await first, await third) == ("A", "C")
    assert executor.batches == [["a"], ["c"]]


async def test_a_batch_that_nobody_wants_any_more_is_stopped_and_the_next_one_runs() -> None:
    executor = Recorder()
    executor.may_end.clear()
    batcher = Batcher(executor)
    tasks = [asyncio.create_task(run(batcher, text)) for text in "ab"]
    await executor.started.wait()
    tasks[0].cancel()
    await asyncio.wait(tasks[:1])
    last = asyncio.create_task(run(batcher, "c"))
    await asyncio.wait([last], timeout=0)
    assert len(executor.batches) == 1
    tasks[1].cancel()
    await asyncio.wait(tasks)
    executor.may_end.set()
    assert await last == "C"


async def test_each_call_is_told_when_its_turn_comes() -> None:
    executor, turns = Recorder(), list[str]()
    executor.may_end.clear()
    batcher = Batcher(executor)
    tasks = [asyncio.create_task(batcher.run(context(), Text(text="a" * 6), lambda: turns.append("first")))]
    tasks.append(asyncio.create_task(batcher.run(context(), Text(text="b" * 6), lambda: turns.append("second"))))
    await executor.started.wait()
    assert turns == ["first"]
    executor.may_end.set()
    await asyncio.gather(*tasks)
    assert turns == ["first", "second"]


@pytest.mark.parametrize(
    ("deadlines", "expected"), [((5.0, 9.0), 9.0), ((5.0, None), None)], ids=["the latest", "none where one has none"]
)
async def test_a_batch_has_time_for_its_most_patient_call(
    deadlines: tuple[float | None, float | None], expected: float | None
) -> None:
    executor = Recorder()
    batcher = Batcher(executor)
    await asyncio.gather(*(run(batcher, "a", deadline_at=deadline) for deadline in deadlines))
    assert executor.contexts[0].deadline_at == expected


async def test_progress_of_a_batch_is_told_to_every_call() -> None:
    executor, told = Recorder(), list[str]()
    batcher = Batcher(executor)
    await asyncio.gather(*(run(batcher, "a", call=call, told=told) for call in ("c1", "c2")))
    await executor.contexts[0].emit_progress(50, "half")
    assert told == ["c1 50 half", "c2 50 half"]


async def test_an_executor_without_batches_runs_its_calls_side_by_side() -> None:
    executor = Single()
    executor.may_end.clear()
    batcher = Batcher(executor)
    tasks = [asyncio.create_task(run(batcher, text)) for text in "ab"]
    await asyncio.wait(tasks, timeout=0)
    assert executor.batches == [["a"], ["b"]]
    executor.may_end.set()
    assert await asyncio.gather(*tasks) == ["A", "B"]


async def test_closing_stops_what_runs() -> None:
    executor = Recorder()
    executor.may_end.clear()
    batcher = Batcher(executor)
    task = asyncio.create_task(run(batcher, "a"))
    await executor.started.wait()
    await batcher.close()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, GeneratorExit])
@pytest.mark.parametrize("max_items", [1, 4])
async def test_an_executor_that_would_end_the_process_fails_its_call_alone(
    error: type[BaseException], max_items: int
) -> None:
    class Exits(BaseExecutor[Text, Answer]):
        name = "exits"
        batch = BatchPolicy(max_items=max_items)
        Config, Output = Text, Answer

        async def execute(self, context: ExecutionContext, config: Text) -> ExecutionResult[Answer]:
            raise error

    with pytest.raises(RuntimeError, match=f"raised {error.__name__}"):
        await run(Batcher(Exits()), "a")
