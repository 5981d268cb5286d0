"""The classifier: a text's answer does not depend on its neighbours, and runs are bounded."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from promptflow_core.settings import Settings
from promptflow_workers.models.cache import WeightCache
from promptflow_workers.models.locate import find_model
from promptflow_workers.models.pull import pull
from promptflow_workers.models.runtime import RunOptions, Session, open_session
from promptflow_workers.models.text_classifier import MAX_CELLS, TextClassifier, plan_runs

WORDS = ("the", "desk", "is", "wonderful", "but", "a", "disaster", "nobody", "14", "Zürich", "😀", "unaffable")


def mixed_texts(count: int) -> list[str]:
    """Texts of 1 to 700 words, mostly short, from a fixed seed."""
    rng = Random(11)
    lengths = [rng.choice((1, 3, 8, 20, 60)) for _ in range(count - 2)] + [300, 700]
    return [" ".join(rng.choices(WORDS, k=length)) for length in lengths]


class Recorder:
    """A session that remembers the shapes it was given, and may be held up."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.shapes: list[tuple[int, ...]] = []
        self.started, self.go_on = threading.Event(), threading.Event()
        self.go_on.set()

    def run(self, output_names: None, feeds: Mapping[str, Any], options: RunOptions) -> list[Any]:
        self.shapes.append(feeds["input_ids"].shape)
        self.started.set()
        assert self.go_on.wait(10)
        return self._session.run(output_names, feeds, options)

    def get_providers(self) -> list[str]:
        return self._session.get_providers()


@pytest.fixture(scope="module")
def classifier(settings: Settings) -> Iterator[TextClassifier]:
    model = find_model(settings, "sentiment-minilm")
    pulled = pull(model.manifest, WeightCache(settings.cache_dir), offline=True)
    classifier = TextClassifier.load(model, pulled, threads=1)
    yield classifier
    classifier.close()


@pytest.fixture
def recorded(settings: Settings) -> Iterator[tuple[TextClassifier, Recorder]]:
    model = find_model(settings, "sentiment-minilm")
    pulled = pull(model.manifest, WeightCache(settings.cache_dir), offline=True)
    recorder = Recorder(open_session(model, pulled.paths["model.safetensors"].parent, threads=1))
    tokenizer = Tokenizer.from_file(str(pulled.paths["tokenizer.json"]))
    tokenizer.no_padding()
    tokenizer.enable_truncation(model.manifest.max_tokens)
    classifier = TextClassifier(model, tokenizer, recorder, threads=1)
    yield classifier, recorder
    classifier.close()


def test_batched_equals_single_on_mixed_lengths(classifier: TextClassifier) -> None:
    texts = mixed_texts(72)
    batched = classifier.logits(texts)
    single = np.concatenate([classifier.logits([text]) for text in texts])
    assert np.abs(batched - single).max() <= 1e-5
    # Not all the same, or the comparison would say nothing.
    assert np.ptp(single[:, 0]) > 1


def test_the_order_of_a_batch_changes_nothing(classifier: TextClassifier) -> None:
    texts = mixed_texts(20)
    assert np.abs(classifier.logits(texts) - classifier.logits(texts[::-1])[::-1]).max() <= 1e-5


async def test_answers_come_in_order_with_probabilities(classifier: TextClassifier) -> None:
    answers = await classifier.classify(["What a disaster.", "I love this!", "Useless and broken."])
    assert [answer.label for answer in answers] == ["negative", "positive", "negative"]
    for answer in answers:
        assert sum(answer.scores.values()) == pytest.approx(1)
        assert answer.confidence == max(answer.scores.values())


@pytest.mark.parametrize("texts", [[], [""], ["\0"], ["x" * 1_000_000], ["\u202e \ufeff"], ["😀" * 5000]])
async def test_odd_texts_are_classified_too(classifier: TextClassifier, texts: list[str]) -> None:
    answers = await classifier.classify(texts)
    assert [answer.label in ("negative", "positive") for answer in answers] == [True] * len(texts)


def test_what_goes_beyond_the_limit_is_not_read(classifier: TextClassifier) -> None:
    # 510 words and the two marks of begin and end.
    within, beyond = "good " * 510, "good " * 510 + "awful terrible disaster " * 50
    assert np.array_equal(classifier.logits([within]), classifier.logits([beyond]))


def test_texts_are_padded_to_the_longest_and_not_to_128(recorded: tuple[TextClassifier, Recorder]) -> None:
    classifier, recorder = recorded
    classifier.logits(["I love this!", "The chair is a disaster."])
    assert recorder.shapes == [(2, 8)]


def test_a_run_holds_no_more_cells_than_memory_allows(recorded: tuple[TextClassifier, Recorder]) -> None:
    classifier, recorder = recorded
    classifier.logits(["good " * 600, *["bad"] * 63])
    assert recorder.shapes == [(16, 512), (48, 3)]
    assert max(rows * columns for rows, columns in recorder.shapes) <= MAX_CELLS


async def test_a_cancelled_batch_starts_no_further_run(recorded: tuple[TextClassifier, Recorder]) -> None:
    classifier, recorder = recorded
    recorder.go_on.clear()
    running = asyncio.create_task(classifier.classify(["good " * 600] * 64))
    await asyncio.to_thread(recorder.started.wait, 10)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    recorder.go_on.set()
    await asyncio.to_thread(classifier.close)
    assert recorder.shapes == [(16, 512)]


@given(st.lists(st.integers(0, 512), max_size=80), st.integers(1, 9000))
def test_runs_hold_every_text_once_within_the_bound(lengths: list[int], max_cells: int) -> None:
    runs = plan_runs(lengths, max_cells)
    assert sorted(index for run in runs for index in run) == list(range(len(lengths)))
    for run in runs:
        assert len(run) == 1 or len(run) * max(lengths[index] for index in run) <= max_cells
