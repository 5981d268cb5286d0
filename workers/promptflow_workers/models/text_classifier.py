"""A text classifier in memory: tokenizer, session, softmax."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from promptflow_core.errors import FlowError, Reason
from promptflow_workers.models.locate import Model
from promptflow_workers.models.pull import PulledModel
from promptflow_workers.models.runtime import RunOptions, Session, new_run_options, open_session, usable_cores

Logits: TypeAlias = NDArray[np.float32]

MAX_CELLS = 8192
"""Texts times the longest of them, in one run of the model: attention takes memory by the square of the length."""

_CHARACTERS_PER_TOKEN = 64
"""Longer texts are cut before they are tokenized: tokens of this mean length are no text."""


@dataclass(frozen=True, slots=True)
class Classification:
    """Probability of each label, and the likeliest."""

    label: str
    scores: dict[str, float]

    @property
    def confidence(self) -> float:
        """Probability of `label`."""
        return self.scores[self.label]


class TextClassifier:
    """Classifies batches of texts of any length; one instance serves all callers of a process."""

    def __init__(self, model: Model, tokenizer: Tokenizer, session: Session, *, threads: int) -> None:
        self._labels = model.manifest.labels
        self._max_characters = model.manifest.max_tokens * _CHARACTERS_PER_TOKEN
        self._tokenizer = tokenizer
        self._session = session
        # More runs than cores would only slow each other down.
        self._pool = ThreadPoolExecutor(max(1, usable_cores() // threads), thread_name_prefix=model.manifest.name)

    @classmethod
    def load(cls, model: Model, pulled: PulledModel, *, threads: int) -> TextClassifier:
        """Load and warm a model. Blocks.

        Raises:
            FlowError: MODEL_UNAVAILABLE, it cannot be loaded.
        """
        tokenizer = _load_tokenizer(pulled.paths[model.manifest.tokenizer.file], model.manifest.max_tokens)
        session = open_session(model, _weights_dir(model, pulled), threads=threads)
        classifier = cls(model, tokenizer, session, threads=threads)
        classifier.logits(["The first run allocates what later runs use.", "It counts for nobody."])
        return classifier

    async def classify(self, texts: Sequence[str]) -> list[Classification]:
        """Classify texts off the loop, in order; cancelling ends the model run."""
        options = new_run_options()
        loop = asyncio.get_running_loop()
        try:
            logits = await loop.run_in_executor(self._pool, lambda: self.logits(texts, options))
        except asyncio.CancelledError:
            options.terminate = True
            raise
        return self.judge(logits)

    def logits(self, texts: Sequence[str], options: RunOptions | None = None) -> Logits:
        """The outputs of the model, a row per text. Blocks.

        A text's row does not depend on the other texts, but for the manifest's tolerance.
        """
        encodings = self._tokenizer.encode_batch([text[: self._max_characters] for text in texts])
        rows = np.zeros((len(texts), len(self._labels)), np.float32)
        for run in plan_runs([len(encoding) for encoding in encodings], MAX_CELLS):
            feeds = _feeds([encodings[index] for index in run])
            rows[run] = self._session.run(None, feeds, options or new_run_options())[0]
        return rows

    def judge(self, logits: Logits) -> list[Classification]:
        """What rows of logits say."""
        return [self._classification(row) for row in _softmax(logits)]

    def close(self) -> None:
        """Let running calls end and take no more."""
        self._pool.shutdown(cancel_futures=True)

    def _classification(self, probabilities: NDArray[np.float64]) -> Classification:
        scores = dict(zip(self._labels, probabilities.tolist(), strict=True))
        return Classification(max(scores, key=scores.__getitem__), scores)


def plan_runs(lengths: Sequence[int], max_cells: int) -> list[list[int]]:
    """Split texts into runs, as indices: similar lengths together, longest first, count x longest <= `max_cells`.

    A text that is longer than `max_cells` has a run of its own.
    """
    runs: list[list[int]] = []
    room = 0
    for index in sorted(range(len(lengths)), key=lambda index: (-lengths[index], index)):
        if room == 0:
            runs.append([])
            room = max(1, max_cells // max(1, lengths[index]))
        runs[-1].append(index)
        room -= 1
    return runs


def _load_tokenizer(path: Path, max_tokens: int) -> Tokenizer:
    tokenizer = Tokenizer.from_file(str(path))
    # As published it pads every text to 128 tokens and cuts it there.
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_tokens)  # pyright: ignore[reportUnknownMemberType]
    return tokenizer


def _weights_dir(model: Model, pulled: PulledModel) -> Path:
    folders = {pulled.paths[file.file].parent for file in model.manifest.weights}
    if len(folders) > 1:
        message = f"model `{model.manifest.name}` has several weights files; onnxruntime takes those of one folder"
        raise FlowError(Reason.MODEL_UNAVAILABLE, message)
    return next(iter(folders), model.folder)


def _feeds(encodings: Sequence[Encoding]) -> dict[str, NDArray[Any]]:
    longest = max(len(encoding) for encoding in encodings)
    ids = np.zeros((len(encodings), longest), np.int64)
    mask = np.zeros_like(ids)
    for row, encoding in enumerate(encodings):
        ids[row, : len(encoding)] = encoding.ids
        mask[row, : len(encoding)] = 1
    return {"input_ids": ids, "attention_mask": mask}


def _softmax(logits: Logits) -> NDArray[np.float64]:
    exponents: NDArray[np.float64] = np.exp(
        logits.astype(np.float64) - logits.max(axis=1, keepdims=True, initial=-np.inf)
    )
    exponents /= exponents.sum(axis=1, keepdims=True)
    return exponents
