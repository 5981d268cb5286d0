"""Settings, projects and executors, as commands get them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from promptflow_codegen.project import Project
from promptflow_core.registry import ExecutorRegistry
from promptflow_core.settings import PREFIX, Settings
from promptflow_server.cli.failures import CommandError

DATA_FOLDER = ".promptflow"
POOLS = ("sentiment", "ocr", "general")
"""What a worker serves where nothing else is said; an executor with a queue of its own gets workers of its own."""


def settings_of(folder: Path) -> Settings:
    """The settings of this process; data lie in the project where the environment does not say otherwise.

    The bundle is no data: it is made from the project's flows, and stays with them (`Project.bundles_dir`).

    Raises:
        pydantic.ValidationError: a variable does not fit.
    """
    environment = {PREFIX + "DATA_DIR": str(folder / DATA_FOLDER), **os.environ}
    return Settings.from_environment(environment)


def project_at(folder: Path) -> Project:
    """The project in a folder.

    Raises:
        CommandError: it has no flows.
        ProjectError: its own settings cannot be read.
    """
    if not (folder / "flows").is_dir():
        raise CommandError(f"`{folder}` has no folder `flows`; name the project with `--project DIR`")
    return Project.at(folder)


def with_executors_of(project: Project, settings: Settings) -> Settings:
    """Settings that name the project's executors too, which may lie in modules of the project's folder."""
    if str(project.root) not in sys.path:
        sys.path.append(str(project.root))
    return settings.model_copy(update={"executors": tuple(dict.fromkeys((*project.executors, *settings.executors)))})


def load_registry(settings: Settings) -> ExecutorRegistry:
    """The executors of this installation and those that the settings name.

    Raises:
        CommandError: one of them cannot be loaded.
    """
    try:
        return ExecutorRegistry.load(settings.executors)
    except (ValueError, ImportError, AttributeError) as error:
        raise CommandError(
            f"an executor cannot be loaded: {error}; see `PROMPTFLOW_EXECUTORS` and `promptflow.yaml`"
        ) from None
