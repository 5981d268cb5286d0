"""`model.yaml`: what a model takes and yields, and where its bytes come from."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from promptflow_core.errors import FlowError, Reason

MANIFEST = "model.yaml"

# Plain names: a manifest never leads out of its folder or of the cache.
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PackageSource(_Part):
    """A file inside the wheel of a Python package, `name==version`."""

    package: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9][A-Za-z0-9.!+_-]*$")
    path: str

    def __str__(self) -> str:
        return f"package {self.package} ({self.path})"


class HubSource(_Part):
    """A file of a model repository on the hub, `owner/name`."""

    hub: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*$")
    path: str
    revision: str = "main"

    def __str__(self) -> str:
        return f"hub {self.hub} ({self.path})"


Source = PackageSource | HubSource


class LocalFile(_Part):
    """A file beside the manifest, in git."""

    file: FileName
    sha256: Sha256
    bytes: int = Field(ge=0)


class RemoteFile(LocalFile):
    """A file that is fetched by its hash; the sources are tried in order."""

    sources: tuple[Source, ...] = Field(min_length=1)


class Tensor(_Part):
    """An input or output of the graph; a word in `shape` is a free dimension."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]


class Tolerance(_Part):
    """How far two ways to compute the same output may lie apart."""

    batched_vs_single: float = Field(gt=0)


class Example(_Part):
    """A text and what the model must make of it."""

    text: str
    label: str
    confidence: float = Field(0.5, ge=0, le=1, description="the least that is right")


class ModelManifest(_Part):
    """One version of one model."""

    name: FileName
    task: str
    version: str
    licence: str
    description: str = ""
    graph: LocalFile
    weights: tuple[RemoteFile, ...] = ()
    tokenizer: RemoteFile
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    labels: tuple[str, ...] = Field(min_length=2)
    max_tokens: int = Field(gt=0)
    tolerance: Tolerance
    examples: tuple[Example, ...] = ()
    metrics: dict[str, JsonValue] = Field(default_factory=dict)

    @property
    def digest(self) -> str:
        """Equal for manifests of the same files, so that what changed without a new version is seen."""
        files = (self.graph, *self.remote_files)
        return hashlib.sha256("".join(file.sha256 for file in files).encode()).hexdigest()[:12]

    @property
    def remote_files(self) -> tuple[RemoteFile, ...]:
        """Everything that `pull` must bring."""
        return (*self.weights, self.tokenizer)


def read_manifest(folder: Path) -> ModelManifest:
    """Read the `model.yaml` of a model folder.

    Raises:
        FlowError: MODEL_UNAVAILABLE, there is none or it is wrong; the message lists every mistake.
    """
    path = folder / MANIFEST
    try:
        return ModelManifest.model_validate(yaml.safe_load(path.read_text("utf-8")))
    except ValidationError as error:
        mistakes = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        raise FlowError(Reason.MODEL_UNAVAILABLE, f"`{path}` is wrong: {mistakes}") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise FlowError(Reason.MODEL_UNAVAILABLE, f"`{path}` cannot be read: {error}") from error
