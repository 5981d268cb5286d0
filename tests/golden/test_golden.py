"""A folder is a case: `flow.yaml`, the `flow.proto` and the `flow.lock.yaml` that it makes.

Where there is a `before.lock.yaml`, the flow was generated before, as that lock says. The flows that its steps run
are in `callee_*.yaml`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from promptflow_codegen.build import build_api
from promptflow_codegen.check import check_flows
from promptflow_codegen.checked import CheckedFlow
from promptflow_codegen.compile import compile_descriptors
from promptflow_codegen.diagnostics import Report
from promptflow_codegen.emit.proto import emit_proto
from promptflow_codegen.lock import Lock
from promptflow_codegen.lock_file import parse_lock, print_lock
from promptflow_codegen.lower import lower_flow
from promptflow_codegen.nodes import FlowNode
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
    flow = check(case, catalog)[-1]
    lock: Lock | None = Lock(flow.name, flow.version)
    before = case / "before.lock.yaml"
    if before.exists():
        lock = parse_lock(before.read_bytes(), flow=flow.name, version=flow.version, report=report)
    assert lock is not None, report.diagnostics
    file, lock = number_file(build_api(flow, lower_flow(flow)), lock, report)
    assert not report.has_errors, report.diagnostics
    return emit_proto(file), print_lock(lock)


def check(case: Path, catalog: Catalog) -> list[CheckedFlow]:
    """The flows of one case, its own the last."""
    read: list[tuple[FlowNode, Report]] = []
    for path in [*sorted(case.glob("callee_*.yaml")), case / "flow.yaml"]:
        report = Report(path.name)
        root = parse_source(path.read_bytes(), report)
        node = read_flow(report.file, root, report) if root is not None else None
        assert node is not None, report.diagnostics
        read.append((node, report))
    flows = check_flows(read, catalog)
    assert len(flows) == len(read), [report.diagnostics for _, report in read]
    return flows


def callees(case: Path, catalog: Catalog) -> dict[str, str]:
    """The protos of the flows that a case's steps run, by path."""
    protos: dict[str, str] = {}
    for flow in check(case, catalog)[:-1]:
        file, _ = number_file(build_api(flow, lower_flow(flow)), Lock(flow.name, flow.version), Report(flow.node.file))
        protos[file.path] = emit_proto(file)
    return protos


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
    for name in CASES:
        protos |= callees(FOLDER / name, catalog)
    compile_descriptors({**Project.at(ROOT).contract_protos(), **protos})


def test_the_shipped_flow_is_the_case() -> None:
    case = (FOLDER / "sentiment_analysis" / "flow.yaml").read_text("utf-8")
    assert case == (ROOT / "flows" / "sentiment_analysis.yaml").read_text("utf-8")
