"""What `promptflow models list|pull|verify` and the executors ask for."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from promptflow_core.errors import FlowError
from promptflow_core.settings import Settings
from promptflow_workers.models.locate import shipped_models_dir
from promptflow_workers.models.repository import (
    list_models,
    load_text_classifier,
    pull_models,
    verify_model,
)


def test_a_list_says_what_is_cached(settings: Settings, tmp_path: Path) -> None:
    (there,) = list_models(settings)
    assert (there.name, there.task, there.licence, there.is_complete) == (
        "sentiment-minilm",
        "text-classification",
        "Apache-2.0",
        True,
    )
    (absent,) = list_models(settings.model_copy(update={"cache_dir": tmp_path}))
    assert [(file.file, file.is_cached) for file in absent.files] == [
        ("model.safetensors", False),
        ("tokenizer.json", False),
    ]
    assert not absent.is_complete


def test_pulling_again_brings_the_same_files(settings: Settings) -> None:
    pulled = pull_models(settings.model_copy(update={"offline": True}))
    assert {path.name for path in pulled["sentiment-minilm"].paths.values()} == {"model.safetensors", "tokenizer.json"}


def test_the_shipped_model_verifies(settings: Settings) -> None:
    report = verify_model(settings, "sentiment-minilm")
    assert report.is_ok
    assert report.texts >= 8
    assert report.max_abs_difference <= report.tolerance == 1e-5


def test_a_wrong_label_and_a_low_confidence_are_reported(settings: Settings, tmp_path: Path) -> None:
    shutil.copytree(shipped_models_dir() / "sentiment-minilm", tmp_path / "sentiment-minilm")
    manifest = tmp_path / "sentiment-minilm" / "model.yaml"
    text = manifest.read_text("utf-8")
    text = text.replace(
        "{label: positive, confidence: 0.9, text: I love", "{label: negative, confidence: 0.9, text: I love"
    )
    manifest.write_text(text.replace('confidence: 0.9, text: "The chair', 'confidence: 1.0, text: "The chair'))
    report = verify_model(settings.model_copy(update={"models_dir": tmp_path}), "sentiment-minilm")
    assert not report.is_ok
    assert [(mistake.expected, mistake.label) for mistake in report.mistakes] == [
        ("negative", "positive"),
        ("negative", "negative"),
    ]


async def test_a_model_of_another_task_is_no_classifier(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    text = (shipped_models_dir() / "sentiment-minilm" / "model.yaml").read_text("utf-8")
    text = text.replace("name: sentiment-minilm", "name: other").replace("task: text-classification", "task: guessing")
    (tmp_path / "other" / "model.yaml").write_text(text)
    with pytest.raises(FlowError, match="model `other` does guessing"):
        await load_text_classifier("other", settings.model_copy(update={"models_dir": tmp_path}))
