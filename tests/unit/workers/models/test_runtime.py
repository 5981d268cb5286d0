"""onnxruntime: which distribution is installed, and what it refuses."""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from promptflow_core.errors import FlowError, Reason
from promptflow_core.settings import Settings
from promptflow_workers.models.cache import WeightCache
from promptflow_workers.models.locate import Model, find_model
from promptflow_workers.models.runtime import check_onnxruntime, open_session


def install(folder: Path, distribution: str) -> None:
    """What pip leaves of a distribution for importlib.metadata to find."""
    info = folder / f"{distribution.replace('-', '_')}-1.30.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.30.0\n")


@pytest.fixture
def model(settings: Settings) -> Model:
    return find_model(settings, "sentiment-minilm")


@pytest.fixture
def weights_dir(settings: Settings, model: Model) -> Path:
    return WeightCache(settings.cache_dir).path(model.manifest.weights[0]).parent


@pytest.mark.parametrize("distribution", ["onnxruntime", "onnxruntime-gpu"])
def test_one_distribution_is_the_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, distribution: str) -> None:
    install(tmp_path, distribution)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    assert check_onnxruntime() == distribution


@pytest.mark.parametrize(
    ("distributions", "message"),
    [
        ([], r"onnxruntime is not installed; install `promptflow-grpc\[cpu\]` or `promptflow-grpc\[gpu\]`"),
        (["onnxruntime", "onnxruntime-gpu"], "both installed and overwrite each other; uninstall both"),
    ],
)
def test_none_and_both_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, distributions: list[str], message: str
) -> None:
    for distribution in distributions:
        install(tmp_path, distribution)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    with pytest.raises(FlowError, match=message) as caught:
        check_onnxruntime()
    assert caught.value.record.reason is Reason.MODEL_UNAVAILABLE


def test_a_gpu_that_was_asked_for_and_is_not_there_is_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, model: Model, weights_dir: Path
) -> None:
    install(tmp_path, "onnxruntime-gpu")
    # The runtime itself is imported already; what is installed is looked up anew.
    open_session(model, weights_dir, threads=1)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    with pytest.raises(FlowError, match="finds no GPU that it can use"):
        open_session(model, weights_dir, threads=1)


def test_a_graph_that_is_not_the_manifests_is_refused(model: Model, weights_dir: Path, tmp_path: Path) -> None:
    graph = bytearray((model.folder / "model.onnx").read_bytes())
    graph[-1] ^= 1
    (tmp_path / "model.onnx").write_bytes(graph)
    with pytest.raises(FlowError, match=r"model\.onnx` is not what `model\.yaml` says: has the sha256"):
        open_session(replace(model, folder=tmp_path), weights_dir, threads=1)


@pytest.mark.parametrize("size", [None, 1000])
def test_weights_that_are_missing_or_cut_off_are_refused(model: Model, tmp_path: Path, size: int | None) -> None:
    if size is not None:
        (tmp_path / "model.safetensors").write_bytes(bytes(size))
    with pytest.raises(FlowError, match="onnxruntime refuses model `sentiment-minilm`") as caught:
        open_session(model, tmp_path, threads=1)
    assert caught.value.record.reason is Reason.MODEL_UNAVAILABLE


def test_weights_stay_where_they_are(model: Model, weights_dir: Path, tmp_path: Path) -> None:
    shutil.copy(model.folder / "model.onnx", tmp_path)
    open_session(replace(model, folder=tmp_path), weights_dir, threads=1)
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    assert [path.name for path in weights_dir.iterdir()] == ["model.safetensors"]
