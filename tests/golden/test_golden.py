"""A folder is a case: `flow.yaml`, the `flow.proto` and the `flow.lock.yaml` that it makes.

Where there is a `before.lock.yaml`, the flow was generated before, as that lock says.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from promptflow_codegen.build import build_api
from promptflow_codegen.check import check_flow
from promptflow_codegen.compile import compile_descriptors
from promptflow_codegen.diagnostics import Report
from promptflow_codegen.emit.proto import emit_proto
from promptflow_codegen.lock import Lock
from promptflow_codegen.lock_file import parse_lock, print_lock
from promptflow_codegen.numbering import number_file
from promptflow_codegen.project import Project
from promptflow_codegen.read import read_flow
from promptflow_codegen.source import parse_source
from promptflow_core.executor import Catalog
from promptflow_core.registry import ExecutorRegistry

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]
CASES = sorted(path.parent.name for path in FOLDER.glob("*/flow.yaml"))


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return ExecutorRegistry.load().catalog()


def generate(case: Path, catalog: Catalog) -> tuple[str, str]:
    """Proto and lock of one case."""
    report = Report("flow.yaml")
    root = parse_source((case / "flow.yaml").read_bytes(), report)
    node = read_flow(report.file, root, report) if root is not None else None
    flow = check_flow(node, catalog, report) if node is not None else None
    assert flow is not None, report.diagnostics
    lock: Lock | None = Lock(flow.name, flow.version)
    before = case / "before.lock.yaml"
    if before.exists():
        lock = parse_lock(before.read_bytes(), flow=flow.name, version=flow.version, report=report)
    assert lock is not None, report.diagnostics
    file, lock = number_file(build_api(flow), lock, report)
    assert not report.has_errors, report.diagnostics
    return emit_proto(file), print_lock(lock)


@pytest.mark.parametrize("name", CASES)
def test_what_is_generated_is_what_was_agreed(name: str, catalog: Catalog, *, is_updating: bool) -> None:
    case = FOLDER / name
    proto, lock = generate(case, catalog)
    if is_updating:
        (case / "flow.proto").write_text(proto, "utf-8")
        (case / "flow.lock.yaml").write_text(lock, "utf-8")
    assert proto == (case / "flow.proto").read_text("utf-8")
    assert lock == (case / "flow.lock.yaml").read_text("utf-8")


def test_every_case_compiles(catalog: Catalog) -> None:
    protos = {f"{name}.proto": (FOLDER / name / "flow.proto").read_text("utf-8") for name in CASES}
    compile_descriptors({**Project.at(ROOT).contract_protos(), **protos})


def test_the_shipped_flow_is_the_case() -> None:
    case = (FOLDER / "sentiment_analysis" / "flow.yaml").read_text("utf-8")
    assert case == (ROOT / "flows" / "sentiment_analysis.yaml").read_text("utf-8")
