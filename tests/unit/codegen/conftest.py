"""The executors that are installed, as the generator sees them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from promptflow_codegen.check import check_flow
from promptflow_codegen.diagnostics import Report
from promptflow_codegen.read import read_flow
from promptflow_codegen.source import parse_source
from promptflow_core.executor import Catalog
from promptflow_core.registry import ExecutorRegistry


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    return ExecutorRegistry.load().catalog()


@pytest.fixture(scope="session")
def diagnose() -> Callable[[str, Catalog], list[str]]:
    """What the check says about one text."""

    def run(text: str, catalog: Catalog) -> list[str]:
        report = Report("flows/flow.yaml")
        root = parse_source(text.encode(), report)
        node = read_flow(report.file, root, report) if root is not None else None
        if node is not None:
            check_flow(node, catalog, report)
        return [str(found) for found in report.diagnostics]

    return run
