"""Sentiment of a sentence, by the model `sentiment-minilm`."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from promptflow_core.errors import FlowError, Reason
from promptflow_core.executor import (
    BaseExecutor,
    BatchPolicy,
    ExecutionContext,
    ExecutionResult,
    ExecutorConfig,
    ExecutorOutput,
)
from promptflow_core.settings import Settings

if TYPE_CHECKING:
    from promptflow_workers.models.text_classifier import TextClassifier

MODEL = "sentiment-minilm"
MAX_TOKENS = 512


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

    def __init__(self) -> None:
        self._classifier: TextClassifier | None = None

    @classmethod
    def models(cls) -> tuple[str, ...]:
        """The model that is found here, with its version and what its files hash to."""
        from promptflow_workers.models.locate import find_model  # noqa: PLC0415 - yaml

        try:
            manifest = find_model(Settings.from_environment(os.environ), MODEL).manifest
        except FlowError:
            return (MODEL,)
        return (f"{MODEL}@{manifest.version}+{manifest.digest}",)

    async def start(self) -> None:
        """Fetch the weights where they are missing, load and warm the model.

        Raises:
            FlowError: MODEL_UNAVAILABLE, with what to do.
        """
        from promptflow_workers.models.repository import load_text_classifier  # noqa: PLC0415 - yaml, httpx

        settings = Settings.from_environment(os.environ)
        self._classifier = await load_text_classifier(MODEL, settings)

    async def close(self) -> None:
        """Let running batches end."""
        if self._classifier is not None:
            await asyncio.to_thread(self._classifier.close)
            self._classifier = None

    def cost(self, config: SentimentAnalyzerConfig) -> int:
        """Tokens, estimated: exact ones would be counted twice, and English has about four letters to one."""
        return min(MAX_TOKENS, 2 + len(config.text) // 4)

    async def execute_batch(
        self, context: ExecutionContext, configs: Sequence[SentimentAnalyzerConfig]
    ) -> Sequence[ExecutionResult[SentimentAnalyzerOutput] | FlowError]:
        """Classify all texts in as few model runs as their lengths allow."""
        del context
        if self._classifier is None:
            raise FlowError(Reason.MODEL_UNAVAILABLE, f"model `{MODEL}` is not loaded; call `start` first")
        answers = await self._classifier.classify([config.text for config in configs])
        return [
            ExecutionResult(
                SentimentAnalyzerOutput(label=answer.label, confidence=answer.confidence, scores=answer.scores)
            )
            for answer in answers
        ]
