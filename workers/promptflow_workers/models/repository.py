"""Models by name, for executors and for the command line: list, pull, load, verify."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from promptflow_core.errors import FlowError, Reason
from promptflow_core.settings import Settings
from promptflow_workers.models.cache import WeightCache
from promptflow_workers.models.locate import Model, find_model, find_models
from promptflow_workers.models.pull import ProgressSink, PulledModel, ignore_progress, pull, pull_in_thread

if TYPE_CHECKING:
    from promptflow_workers.models.text_classifier import TextClassifier

TEXT_CLASSIFICATION = "text-classification"


@dataclass(frozen=True, slots=True)
class FileStatus:
    """One file that is fetched by hash. `is_cached` looks at its size alone."""

    file: str
    bytes: int
    sha256: str
    path: Path
    is_cached: bool


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """A model on this machine."""

    name: str
    version: str
    task: str
    licence: str
    description: str
    folder: Path
    files: tuple[FileStatus, ...]

    @property
    def is_complete(self) -> bool:
        """Whether it can be loaded without fetching anything."""
        return all(file.is_cached for file in self.files)


@dataclass(frozen=True, slots=True)
class Mistake:
    """An example that the model gets wrong."""

    text: str
    expected: str
    label: str
    confidence: float


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What `verify_model` found; differences are those of logits."""

    model: str
    version: str
    texts: int
    max_abs_difference: float
    tolerance: float
    mistakes: tuple[Mistake, ...]

    @property
    def is_ok(self) -> bool:
        """Every example is right, and texts may be batched."""
        return not self.mistakes and self.max_abs_difference <= self.tolerance


def list_models(settings: Settings) -> list[ModelStatus]:
    """All models, sorted by name.

    Raises:
        FlowError: MODEL_UNAVAILABLE, a `model.yaml` is wrong.
    """
    cache = WeightCache(settings.cache_dir)
    return [_status(model, cache) for model in find_models(settings).values()]


def pull_models(
    settings: Settings, names: Sequence[str] = (), progress: ProgressSink = ignore_progress
) -> dict[str, PulledModel]:
    """Bring the files of the named models, or of all, into the cache. Blocks; idempotent.

    Raises:
        FlowError: MODEL_UNAVAILABLE, a model is unknown or a file cannot be had.
    """
    models = [find_model(settings, name) for name in names] if names else list(find_models(settings).values())
    cache = WeightCache(settings.cache_dir)
    return {
        model.manifest.name: pull(model.manifest, cache, offline=settings.offline, progress=progress)
        for model in models
    }


async def load_text_classifier(name: str, settings: Settings) -> TextClassifier:
    """Pull, load and warm a text classifier without holding up the loop.

    Raises:
        FlowError: MODEL_UNAVAILABLE, with what to do.
    """
    model = find_model(settings, name)
    if model.manifest.task != TEXT_CLASSIFICATION:
        message = f"model `{name}` does {model.manifest.task}, not {TEXT_CLASSIFICATION}; name another"
        raise FlowError(Reason.MODEL_UNAVAILABLE, message)
    pulled = await pull_in_thread(model.manifest, WeightCache(settings.cache_dir), offline=settings.offline)
    return await asyncio.to_thread(_load, model, pulled, settings)


def verify_model(settings: Settings, name: str) -> VerifyReport:
    """Run the examples of the manifest, each alone and all in one batch. Blocks; pulls what is missing.

    Raises:
        FlowError: MODEL_UNAVAILABLE, it cannot be pulled or loaded.
    """
    model = find_model(settings, name)
    pulled = pull(model.manifest, WeightCache(settings.cache_dir), offline=settings.offline)
    classifier = _load(model, pulled, settings)
    texts = [example.text for example in model.manifest.examples]
    batched = classifier.logits(texts)
    differences = [abs(batched[index] - classifier.logits([text])[0]).max() for index, text in enumerate(texts)]
    classifier.close()
    mistakes = tuple(
        Mistake(example.text, example.label, answer.label, answer.confidence)
        for example, answer in zip(model.manifest.examples, classifier.judge(batched), strict=True)
        if answer.label != example.label or answer.confidence < example.confidence
    )
    return VerifyReport(
        model=name,
        version=model.manifest.version,
        texts=len(texts),
        max_abs_difference=float(max(differences, default=0.0)),
        tolerance=model.manifest.tolerance.batched_vs_single,
        mistakes=mistakes,
    )


def _load(model: Model, pulled: PulledModel, settings: Settings) -> TextClassifier:
    from promptflow_workers.models.text_classifier import TextClassifier  # noqa: PLC0415 - numpy, tokenizers

    return TextClassifier.load(model, pulled, threads=settings.intra_op_threads)


def _status(model: Model, cache: WeightCache) -> ModelStatus:
    files = tuple(
        FileStatus(file.file, file.bytes, file.sha256, path, path.is_file() and path.stat().st_size == file.bytes)
        for file in model.manifest.remote_files
        for path in [cache.path(file)]
    )
    manifest = model.manifest
    return ModelStatus(
        manifest.name, manifest.version, manifest.task, manifest.licence, manifest.description, model.folder, files
    )
