"""One running system for all end-to-end tests."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.system import System, copy_project, running_system, stubs

EXECUTORS = ",".join(f"tests.e2e.executors:{name}" for name in ("Nap", "Flaky", "Stranded"))


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """`promptflow up` on the shipped flows and those of tests/e2e/project."""
    project = copy_project(Path(__file__).parent / "project", tmp_path_factory.mktemp("e2e") / "project")
    with running_system(project, executors=EXECUTORS) as system:
        sys.path.append(str(stubs(project)))
        yield system
        sys.path.remove(str(stubs(project)))
