"""Sentiment of a sentence, by the model `sentiment-minilm`."""

from __future__ import annotations

from collections.abc import Sequence

from promptflow_core.errors import FlowError
from promptflow_core.executor import (
    BaseExecutor,
    BatchPolicy,
    ExecutionContext,
    ExecutionResult,
    ExecutorConfig,
    ExecutorOutput,
)
from pydantic import Field


class SentimentAnalyzerConfig(ExecutorConfig):
    """One text; what goes beyond 512 tokens is not read."""

    text: str = Field(description="English text, best a sentence")


class SentimentAnalyzerOutput(ExecutorOutput):
    """The label that the model finds likelier, and how sure it is."""

    label: str = Field(description="negative or positive; there is no neutral class")
    confidence: float = Field(description="probability of the label, 0.5 to 1")
    scores: dict[str, float] = Field(description="probability of each label")


class SentimentAnalyzer(BaseExecutor[SentimentAnalyzerConfig, SentimentAnalyzerOutput]):
    """Label a text as negative or positive."""

    name = "sentiment_analyzer"
    queue = "sentiment"
    batch = BatchPolicy(max_items=64, max_cost=8192)
    Config = SentimentAnalyzerConfig
    Output = SentimentAnalyzerOutput

    async def execute_batch(
        self, context: ExecutionContext, configs: Sequence[SentimentAnalyzerConfig]
    ) -> Sequence[ExecutionResult[SentimentAnalyzerOutput] | FlowError]:
        raise NotImplementedError
