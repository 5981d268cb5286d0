"""SentimentAnalyzer, with the real model."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from pydantic import ValidationError

from promptflow_core.errors import FlowError, Reason
from promptflow_core.executor import ExecutionContext, ExecutionResult
from promptflow_workers.executors.sentiment_analyzer import SentimentAnalyzer, SentimentAnalyzerConfig

CLEAR = {
    "The desk is wonderful: the wood is beautiful, the drawers run smoothly and it was easy to assemble.": "positive",
    "The chair, I am sorry to say, is a disaster.": "negative",
    "I love this!": "positive",
    "They were the wrong size and completely useless.": "negative",
}


@pytest.fixture
async def analyzer() -> AsyncIterator[SentimentAnalyzer]:
    executor = SentimentAnalyzer()
    await executor.start()
    yield executor
    await executor.close()


async def test_clear_sentences_get_their_label_with_confidence(
    analyzer: SentimentAnalyzer, context: ExecutionContext
) -> None:
    configs = [SentimentAnalyzerConfig(text=text) for text in CLEAR]
    results = await analyzer.execute_batch(context, configs)
    outputs = [result.output for result in results if isinstance(result, ExecutionResult)]
    assert [output.label for output in outputs] == list(CLEAR.values())
    assert min(output.confidence for output in outputs) > 0.9
    for output in outputs:
        assert set(output.scores) == {"negative", "positive"}
        assert output.confidence == output.scores[output.label] == max(output.scores.values())
        assert sum(output.scores.values()) == pytest.approx(1)


async def test_the_loop_runs_while_the_model_does(analyzer: SentimentAnalyzer, context: ExecutionContext) -> None:
    configs = [SentimentAnalyzerConfig(text="good and bad " * 200) for _ in range(16)]
    running = asyncio.create_task(analyzer.execute_batch(context, configs))
    turns = 0
    while not running.done():
        turns += 1
        await asyncio.sleep(0.001)
    assert len(await running) == 16
    assert turns > 50


@pytest.mark.parametrize(("text", "tokens"), [("", 2), ("I love this!", 5), ("x" * 100_000, 512)])
def test_the_cost_of_a_text_is_about_its_tokens(text: str, tokens: int) -> None:
    assert SentimentAnalyzer().cost(SentimentAnalyzerConfig(text=text)) == tokens


async def test_a_call_before_start_says_so(context: ExecutionContext) -> None:
    with pytest.raises(FlowError, match="not loaded") as caught:
        await SentimentAnalyzer().execute(context, SentimentAnalyzerConfig(text="a"))
    assert caught.value.record.reason is Reason.MODEL_UNAVAILABLE


async def test_weights_that_cannot_be_had_are_named_at_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.setenv("PROMPTFLOW_CACHE_DIR", str(tmp_path_factory.mktemp("empty")))
    monkeypatch.setenv("PROMPTFLOW_OFFLINE", "true")
    with pytest.raises(FlowError, match=r"model\.safetensors.*promptflow models pull sentiment-minilm") as caught:
        await SentimentAnalyzer().start()
    assert caught.value.record.reason is Reason.MODEL_UNAVAILABLE


@pytest.mark.parametrize("text", [1, None, ["a"]])
def test_what_is_no_text_is_refused_before_the_model(text: object) -> None:
    with pytest.raises(ValidationError):
        SentimentAnalyzerConfig.model_validate({"text": text})
