"""Model folders: the shipped ones are always there, a folder of one's own adds to them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from promptflow_core.errors import FlowError, Reason
from promptflow_core.settings import Settings
from promptflow_workers.models.locate import find_model, find_models, shipped_models_dir


def test_the_shipped_models_are_found_and_recipes_are_none() -> None:
    assert list(find_models(Settings())) == ["sentiment-minilm"]


def test_a_folder_of_ones_own_adds_and_replaces(tmp_path: Path) -> None:
    shipped = shipped_models_dir() / "sentiment-minilm"
    for name in ("sentiment-minilm", "mine"):
        (tmp_path / name).mkdir()
        text = (shipped / "model.yaml").read_text("utf-8").replace("name: sentiment-minilm", f"name: {name}")
        (tmp_path / name / "model.yaml").write_text(text)
    models = find_models(Settings(models_dir=tmp_path))
    assert {name: model.folder for name, model in models.items()} == {
        "mine": tmp_path / "mine",
        "sentiment-minilm": tmp_path / "sentiment-minilm",
    }


@pytest.mark.parametrize(
    ("name", "hint"), [("sentiment-minlm", "did you mean `sentiment-minilm`"), ("x", "there are sentiment-minilm")]
)
def test_an_unknown_name_gets_a_hint(name: str, hint: str) -> None:
    with pytest.raises(FlowError, match=hint) as caught:
        find_model(Settings(), name)
    assert caught.value.record.reason is Reason.MODEL_UNAVAILABLE


def test_a_models_folder_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(FlowError, match="correct PROMPTFLOW_MODELS_DIR"):
        find_models(Settings(models_dir=tmp_path / "nothing"))


def test_a_wheel_brings_its_models_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "site" / "promptflow_workers"
    shutil.copytree(shipped_models_dir() / "sentiment-minilm", package / "shipped" / "models" / "sentiment-minilm")
    monkeypatch.setattr("promptflow_workers.__path__", [str(package)])
    assert shipped_models_dir() == package / "shipped" / "models"
    assert find_model(Settings(), "sentiment-minilm").folder.parent == package / "shipped" / "models"
