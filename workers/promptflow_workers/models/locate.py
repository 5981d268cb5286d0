"""Where model folders lie: the shipped ones, and those of the folder that the settings name."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import promptflow_workers
from promptflow_core.errors import FlowError, Reason
from promptflow_core.settings import Settings
from promptflow_workers.models.schema import MANIFEST, ModelManifest, read_manifest


@dataclass(frozen=True, slots=True)
class Model:
    """A model as it lies on this machine, without its weights."""

    folder: Path
    manifest: ModelManifest


def shipped_models_dir() -> Path:
    """The folder of the models that come with PromptFlow: inside the wheel, or in the repository."""
    package = Path(next(iter(promptflow_workers.__path__)))
    installed = package / "shipped" / "models"
    return installed if installed.is_dir() else package.parents[1] / "models"


def find_models(settings: Settings) -> dict[str, Model]:
    """All models by name, sorted; one in `models_dir` replaces a shipped one of its name.

    Raises:
        FlowError: MODEL_UNAVAILABLE, a `model.yaml` is wrong or `models_dir` is no folder.
    """
    roots = [shipped_models_dir()]
    if settings.models_dir is not None:
        if not settings.models_dir.is_dir():
            message = f"`{settings.models_dir}` is no folder; correct PROMPTFLOW_MODELS_DIR"
            raise FlowError(Reason.MODEL_UNAVAILABLE, message)
        roots.append(settings.models_dir)
    models = [Model(path.parent, read_manifest(path.parent)) for root in roots for path in root.glob(f"*/{MANIFEST}")]
    by_name = {model.manifest.name: model for model in models}
    return {name: by_name[name] for name in sorted(by_name)}


def find_model(settings: Settings, name: str) -> Model:
    """The model called `name`.

    Raises:
        FlowError: MODEL_UNAVAILABLE, there is none; the message lists those that are there.
    """
    models = find_models(settings)
    if name not in models:
        close = get_close_matches(name, models, n=1)
        hint = f"did you mean `{close[0]}`?" if close else f"there are {', '.join(models) or 'none'}"
        raise FlowError(Reason.MODEL_UNAVAILABLE, f"no model is called `{name}`; {hint}")
    return models[name]
