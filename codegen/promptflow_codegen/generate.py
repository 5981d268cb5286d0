"""From flow files to everything that is generated from them, in memory; `write` puts it on disk."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet

from promptflow_codegen.build import build_api
from promptflow_codegen.bundle import Bundle, plans_json
from promptflow_codegen.check import check_flows
from promptflow_codegen.checked import CheckedFlow
from promptflow_codegen.compile import compile_descriptors
from promptflow_codegen.diagnostics import Diagnostic, Position, Report, sort_diagnostics
from promptflow_codegen.emit.openapi import emit_openapi
from promptflow_codegen.emit.proto import emit_proto
from promptflow_codegen.emit.python_client import emit_clients
from promptflow_codegen.emit.schema import emit_schema
from promptflow_codegen.emit.stubs import emit_stubs
from promptflow_codegen.lock import Lock
from promptflow_codegen.lock_file import parse_lock, print_lock
from promptflow_codegen.lower import lower_flow
from promptflow_codegen.model import ProtoFile
from promptflow_codegen.naming import lock_path, proto_path
from promptflow_codegen.nodes import FlowNode
from promptflow_codegen.numbering import number_file
from promptflow_codegen.patterns import check_patterns
from promptflow_codegen.plan import FlowPlan
from promptflow_codegen.project import Project
from promptflow_codegen.read import read_flow
from promptflow_codegen.removal import removed_flows
from promptflow_codegen.reuse import Reuse, without_collection
from promptflow_codegen.source import parse_source, read_bytes
from promptflow_core.executor import Catalog

MAX_SIZE = 5000
"""Fields and enum values of one flow: its lock stays readable, its stubs stay loadable."""

SCHEMA_FILE = "flow.schema.json"


@dataclass(frozen=True, slots=True)
class Generated:
    """Diagnostics, and where none of them is an error, all files by path from the root, and the bundle.

    `notes` are for the next run, which need not make again what it finds as it was.
    """

    diagnostics: tuple[Diagnostic, ...]
    files: Mapping[Path, bytes] = field(default_factory=dict[Path, bytes])
    bundle: Bundle | None = None
    notes: bytes = b""

    @property
    def has_errors(self) -> bool:
        """Whether nothing was generated."""
        return self.bundle is None


@dataclass(frozen=True, slots=True)
class _Flow:
    """One flow on its way: checked, numbered, lowered."""

    checked: CheckedFlow
    api: ProtoFile
    lock: Lock
    plan: FlowPlan


def generate(
    project: Project, catalog: Catalog, *, tolerated: Collection[str] = (), notes: Path | None = None
) -> Generated:
    """Everything that the flows of `project` stand for; writes nothing.

    Errors whose codes are `tolerated` do not stop it: what would be refused can then be compared with what was. What
    the file `notes` remembers of an earlier run is not made again (`reuse`); without it, all is made anew.

    Raises:
        ProjectError: the contract's own protos are nowhere.
        ProtocError: a defect of the generator.
    """
    with without_collection():
        return _generate(project, catalog, tolerated, notes)


def _generate(project: Project, catalog: Catalog, tolerated: Collection[str], notes: Path | None) -> Generated:
    reports: list[Report] = []
    read, unreadable = _read(project, _flow_files(project, reports), reports)
    checked = check_flows(read, catalog, unreadable)
    patterns = [(flow, Report(flow.node.file)) for flow in checked]
    check_patterns(patterns)
    reports += [report for _, report in patterns]
    numbered = [_number(project, found, reports) for found in _distinct(checked, reports)]
    diagnostics = sort_diagnostics(found for report in reports for found in report.diagnostics)
    if any(found.is_error and found.code not in tolerated for found in diagnostics):
        return Generated(diagnostics)
    gone = removed_flows(project, [(flow.name, flow.version) for flow in checked])
    diagnostics = sort_diagnostics((*diagnostics, *gone))
    if any(found.is_error and found.code not in tolerated for found in diagnostics):
        return Generated(diagnostics)
    flows = sorted(filter(None, numbered), key=lambda flow: (flow.checked.name, flow.checked.version))
    return _emit(project, catalog, flows, diagnostics, Reuse(project, project.contract_protos(), notes))


def _emit(
    project: Project, catalog: Catalog, flows: Sequence[_Flow], diagnostics: tuple[Diagnostic, ...], reuse: Reuse
) -> Generated:
    protos = {flow.api.path: emit_proto(flow.api) for flow in flows}
    plans = tuple(flow.plan for flow in flows)
    # Where there is much to make, protoc works in another process meanwhile.
    with ThreadPoolExecutor(1) as pool:
        compiling = pool.submit(_descriptors, protos, reuse)
        plans_data = plans_json(plans)
        texts = _flow_texts(project, flows, protos)
        texts[project.relative(project.flows_dir) / SCHEMA_FILE] = emit_schema(catalog, plans)
        texts |= _clients(project, plans, plans_data, reuse)
        descriptors = compiling.result()
        stubs = pool.submit(_stubs, project, descriptors, reuse)
        bundle = _bundle(descriptors, plans, plans_data, reuse)
        texts |= stubs.result()
    return Generated(diagnostics, {path: texts[path].encode() for path in sorted(texts)}, bundle, reuse.notes())


def _flow_texts(project: Project, flows: Sequence[_Flow], protos: Mapping[str, str]) -> dict[Path, str]:
    proto_dir = project.relative(project.proto_dir)
    texts = {proto_dir / path: text for path, text in protos.items()}
    for flow in flows:
        path = lock_path(flow.checked.name, flow.checked.version, project.flows_package)
        texts[proto_dir / path] = print_lock(flow.lock)
    return texts


def _descriptors(protos: Mapping[str, str], reuse: Reuse) -> FileDescriptorSet:
    descriptors = compile_descriptors({**reuse.contract, **protos}, reuse.descriptors(protos))
    reuse.note_descriptors(protos, descriptors)
    return descriptors


def _bundle(descriptors: FileDescriptorSet, plans: tuple[FlowPlan, ...], plans_data: bytes, reuse: Reuse) -> Bundle:
    data = descriptors.SerializeToString(deterministic=True)
    documents = reuse.documents(data, plans_data)
    if documents is None:
        documents = emit_openapi(descriptors, plans)
    reuse.note_documents(data, plans_data, documents)
    return Bundle.of(data, plans, documents, plans_data)


def _stubs(project: Project, descriptors: FileDescriptorSet, reuse: Reuse) -> Mapping[Path, str]:
    if project.python_client_dir is None:
        return {}
    folder = project.relative(project.python_client_dir)
    return {folder / path: text for path, text in emit_stubs(descriptors, project.flows_package, reuse).items()}


def _clients(project: Project, plans: Sequence[FlowPlan], plans_data: bytes, reuse: Reuse) -> Mapping[Path, str]:
    if project.python_client_dir is None:
        return {}
    folder = project.relative(project.python_client_dir)
    clients = reuse.modules("clients", plans_data)
    if clients is None:
        clients = emit_clients(plans)
    reuse.note_modules("clients", plans_data, clients)
    return {folder / path: text for path, text in clients.items()}


def _flow_files(project: Project, reports: list[Report]) -> Sequence[Path]:
    found = sorted(
        path
        for path in project.flows_dir.glob("*.y*ml")
        if path.suffix in (".yaml", ".yml") and path.stem.rpartition(".")[2] != "test"
    )
    if not found:
        report = Report(f"{project.relative(project.flows_dir).as_posix()}/")
        report.error("no-flows", Position(), "there is no flow here", "add a file `<name>.yaml`")
        reports.append(report)
    return found


def _read(
    project: Project, paths: Sequence[Path], reports: list[Report]
) -> tuple[Sequence[tuple[FlowNode, Report]], Sequence[str]]:
    """The flows, and what those are called, as far as file names tell, whose files cannot be read."""
    found: list[tuple[FlowNode, Report]] = []
    unreadable: list[str] = []
    for path in paths:
        report = Report(project.relative(path).as_posix())
        reports.append(report)
        data = read_bytes(path, report)
        root = parse_source(data, report) if data is not None else None
        node = read_flow(report.file, root, report) if root is not None else None
        if node is None:
            unreadable.append(path.stem)
        else:
            found.append((node, report))
    return found, unreadable


def _distinct(flows: Sequence[CheckedFlow], reports: list[Report]) -> Sequence[CheckedFlow]:
    first: dict[tuple[str, int], CheckedFlow] = {}
    for flow in flows:
        earlier = first.setdefault((flow.name, flow.version), flow)
        if earlier is not flow:
            report = Report(flow.node.file)
            message = f"`{flow.name}` version {flow.version} is declared in {earlier.node.file} too"
            report.error("duplicate-flow", flow.node.name.position, message, "rename one, or give it another `version`")
            reports.append(report)
    return list(first.values())


def _number(project: Project, flow: CheckedFlow, reports: list[Report]) -> _Flow | None:
    lock = _read_lock(project, flow, reports)
    if lock is None:
        return None
    report = Report(flow.node.file)
    reports.append(report)
    plan = lower_flow(flow, project.flows_package)
    api = build_api(flow, plan, project.flows_package)
    if api.size > MAX_SIZE:
        message = f"the API of the flow has {api.size} fields and enum values; the limit is {MAX_SIZE}"
        report.error("too-many", flow.node.name.position, message, "declare less, or use `json` for parts of it")
        return None
    api, lock = number_file(api, lock, report)
    return _Flow(flow, api, lock, plan)


def _read_lock(project: Project, flow: CheckedFlow, reports: list[Report]) -> Lock | None:
    path = project.proto_dir / lock_path(flow.name, flow.version, project.flows_package)
    report = Report(project.relative(path).as_posix())
    reports.append(report)
    if not path.exists() and not path.is_symlink():
        proto = project.proto_dir / proto_path(flow.name, flow.version, project.flows_package)
        if not proto.exists():
            return Lock(flow.name, flow.version)
        hint = f"restore it from version control; to start over, delete {project.relative(proto.parent).as_posix()}/"
        report.error("damaged-lock", Position(), "the lock of a generated proto is missing", hint)
        return None
    data = read_bytes(path, report)
    if data is None:
        return None
    return parse_lock(data, flow=flow.name, version=flow.version, report=report)
