"""Manifests: what a wrong one says, and that the shipped one tells the truth."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from promptflow_core.errors import FlowError, Reason
from promptflow_core.settings import Settings
from promptflow_workers.models.cache import WeightCache, check_content
from promptflow_workers.models.schema import read_manifest

MODELS = Path(__file__).parents[4] / "models"
SENTIMENT = MODELS / "sentiment-minilm"


@pytest.mark.parametrize(
    ("change", "mistake"),
    [
        ({"name": "../evil"}, "name: String should match"),
        ({"labels": ["one"]}, "labels: Tuple should have at least 2 items"),
        ({"colour": "red"}, "colour: Extra inputs are not permitted"),
        ({"max_tokens": 0}, "max_tokens: Input should be greater than 0"),
        ({"graph": {"file": "a/b.onnx", "sha256": "0" * 64, "bytes": 1}}, "graph.file: String should match"),
        ({"graph": {"file": "model.onnx", "sha256": "abc", "bytes": 1}}, "graph.sha256: String should match"),
        ({"tokenizer": {"file": "t", "sha256": "0" * 64, "bytes": 1, "sources": []}}, "tokenizer.sources: "),
        (
            {"tokenizer": {"file": "t", "sha256": "0" * 64, "bytes": 1, "sources": [{"package": "-r x", "path": "y"}]}},
            "tokenizer.sources.0.PackageSource.package: String should match",
        ),
    ],
)
def test_every_mistake_is_named(tmp_path: Path, change: dict[str, object], mistake: str) -> None:
    document = yaml.safe_load((SENTIMENT / "model.yaml").read_text("utf-8")) | change
    (tmp_path / "model.yaml").write_text(yaml.safe_dump(document))
    with pytest.raises(FlowError) as caught:
        read_manifest(tmp_path)
    assert caught.value.record.reason is Reason.MODEL_UNAVAILABLE
    assert str(caught.value).startswith(f"`{tmp_path / 'model.yaml'}` is wrong: ")
    assert mistake in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"a: [", b"\xff\xfe", b"- a list"])
def test_what_is_no_manifest_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.yaml").write_bytes(content)
    with pytest.raises(FlowError, match=r"model\.yaml"):
        read_manifest(tmp_path)


def test_the_shipped_graph_is_small_and_has_its_hash() -> None:
    graph = read_manifest(SENTIMENT).graph
    check_content(SENTIMENT / graph.file, graph)
    assert graph.bytes < 1_500_000


def test_the_recipe_makes_the_shipped_graph_byte_for_byte(settings: Settings, tmp_path: Path) -> None:
    manifest = read_manifest(SENTIMENT)
    recipe = MODELS / "recipes" / "text"
    base = WeightCache(settings.cache_dir).path(manifest.weights[0])
    command = [sys.executable, str(recipe / "build.py"), "--base", str(base), "--out", str(tmp_path / "model.onnx")]
    subprocess.run([*command, "--adapter", str(recipe / "adapter.safetensors")], check=True)
    check_content(tmp_path / "model.onnx", manifest.graph)
