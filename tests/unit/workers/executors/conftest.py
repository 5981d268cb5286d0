"""A call's surroundings, and the page that ships."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from promptflow_core.executor import ExecutionContext
from promptflow_core.values import FileRef

SAMPLES = Path(__file__).parents[4] / "samples"


@dataclass(frozen=True, slots=True)
class FolderFiles:
    """A file store whose ids are paths."""

    def path(self, ref: FileRef) -> Path:
        return Path(ref.file_id)


async def _drop(percentage: float, message: str) -> None:
    del percentage, message


NewContext = Callable[..., ExecutionContext]


@pytest.fixture
def new_context() -> NewContext:
    """Contexts of a step called `work`."""

    def new(deadline_at: float | None = None) -> ExecutionContext:
        return ExecutionContext("run", "work", "run/work/-/1", 1, deadline_at, FolderFiles(), _drop)

    return new


@pytest.fixture
def context(new_context: NewContext) -> ExecutionContext:
    return new_context()
