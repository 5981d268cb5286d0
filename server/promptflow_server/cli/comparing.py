"""The verdict on an edit: the flows of the work tree beside those of a git revision.

Status 0: no client that is out notices, though runs may do something else. Status 1: one does, or nothing could be
compared, which a line on standard error tells apart.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby
from pathlib import Path
from typing import Any

from rich.console import Console

from promptflow_codegen.bundle import Bundle
from promptflow_codegen.compat import CODE
from promptflow_codegen.compile import ProtocError, compile_descriptors
from promptflow_codegen.diagnostics import Position, Report
from promptflow_codegen.evolution import Change, Verdict, compare_bundles
from promptflow_codegen.evolution.change import asked_for, worst
from promptflow_codegen.evolution.places import place_of
from promptflow_codegen.generate import generate
from promptflow_codegen.naming import lock_path
from promptflow_codegen.project import Project
from promptflow_codegen.source import parse_source, read_bytes
from promptflow_codegen.tree import Node
from promptflow_core.executor import Catalog
from promptflow_server.cli.environment import load_registry, project_at, settings_of, with_executors_of
from promptflow_server.cli.failures import CommandError
from promptflow_server.cli.revision import export_revision


class DiffFormat(StrEnum):
    """How the verdict is told."""

    TEXT = "text"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class _Placed:
    """A change and the line that it is about."""

    change: Change
    file: str
    position: Position

    def __str__(self) -> str:
        place = f"{self.file}:{self.position.line}:{self.position.column}"
        named = f"`{self.change.path}` " if self.change.path else ""
        return f"{place}: {self.change.kind} ({self.change.asks}): {named}{self.change.message}"

    def to_json(self) -> dict[str, Any]:
        return {
            "verdict": str(self.change.kind),
            "asks_for": str(self.change.asks),
            "path": self.change.path,
            "message": self.change.message,
            "file": self.file,
            "line": self.position.line,
            "column": self.position.column,
        }


def diff_command(folder: Path, revision: str, form: DiffFormat = DiffFormat.TEXT) -> None:
    """Print what became of each flow since `revision`, and what the whole asks for.

    Raises:
        CommandError: a client that is out would notice; or one of the two states cannot be read.
    """
    project, console = project_at(folder), Console(highlight=False)
    settings = with_executors_of(project, settings_of(project.root))
    catalog = load_registry(settings).catalog()
    with tempfile.TemporaryDirectory(prefix="promptflow-diff-") as name:
        target = Path(name)
        export_revision(project.root, revision, target)
        before = Project.at(target)
        old = bundle_at(before, catalog, project, f"at `{revision}`")
        new = _generated(project, catalog, "in the work tree")
        placed = list(_placed(compare_bundles(old, new), (before, old, f"{revision}:"), (project, new, "")))
    text = _as_json(revision, placed) if form is DiffFormat.JSON else _as_text(revision, len(new.plans), placed)
    console.out(text, highlight=False)
    breaking = sum(item.change.kind.is_breaking for item in placed)
    if breaking:
        are = "change breaks" if breaking == 1 else "changes break"
        raise CommandError(f"{breaking} {are} clients that are out")


def bundle_at(before: Project, catalog: Catalog, today: Project, when: str) -> Bundle:
    """The bundle of an earlier state: plans of its flows, and the descriptors of the protos that were committed.

    A flow that had no lock takes its numbers from today's: nothing else could be said of them.

    Raises:
        CommandError: the state does not generate.
    """
    for lock in sorted(today.proto_dir.rglob("*.lock.yaml")):
        target = before.proto_dir / lock.relative_to(today.proto_dir)
        if before.flows_package == today.flows_package and not target.parent.exists():
            target.parent.mkdir(parents=True)
            shutil.copyfile(lock, target)
    folder = before.proto_dir / before.flows_package.replace(".", "/")
    committed = {path.relative_to(before.proto_dir).as_posix(): path for path in sorted(folder.rglob("*.proto"))}
    bundle = _generated(before, catalog, when)
    declared = {Path(lock_path(plan.name, plan.version, before.flows_package)).parent for plan in bundle.plans}
    protos = {path: file for path, file in committed.items() if Path(path).parent in declared}
    if {Path(path).parent for path in protos} != declared:
        return bundle
    sources = {path: file.read_text("utf-8", errors="replace") for path, file in protos.items()}
    try:
        descriptors = compile_descriptors({**today.contract_protos(), **sources})
    except ProtocError:
        raise CommandError(f"the protos {when} cannot be compiled; compare with a commit that was generated") from None
    return Bundle.of(descriptors.SerializeToString(deterministic=True), bundle.plans)


def _generated(project: Project, catalog: Catalog, when: str) -> Bundle:
    generated = generate(project, catalog, tolerated=(CODE,))
    if generated.bundle is None:
        errors = [str(found) for found in generated.diagnostics if found.is_error and found.code != CODE]
        more = f"\nand {len(errors) - 5} more" if len(errors) > 5 else ""
        raise CommandError(
            f"the flows {when} do not generate with the executors that are installed now:\n"
            + "\n".join(errors[:5])
            + more
        )
    return generated.bundle


def _placed(
    changes: Sequence[Change], old: tuple[Project, Bundle, str], new: tuple[Project, Bundle, str]
) -> Iterator[_Placed]:
    trees: dict[Path, Node | None] = {}
    for change in changes:
        plan = new[1].plan(change.flow, change.version)
        project, bundle, prefix = new if plan is not None else old
        plan = plan or bundle.plan(change.flow, change.version)
        assert plan is not None
        path = project.root / plan.source
        if path not in trees:
            report = Report(plan.source)
            data = read_bytes(path, report)
            trees[path] = parse_source(data, report) if data is not None else None
        root = trees[path]
        words = change.path if plan.outputs is not None else change.path.replace("outputs.", "steps.", 1)
        yield _Placed(change, prefix + plan.source, place_of(root, words) if root is not None else Position())


def _by_flow(placed: Sequence[_Placed]) -> Iterator[tuple[tuple[str, int], list[_Placed]]]:
    for key, items in groupby(placed, key=lambda item: (item.change.flow, item.change.version)):
        yield key, list(items)


def _as_text(revision: str, flows: int, placed: Sequence[_Placed]) -> str:
    lines: list[str] = []
    for (flow, version), items in _by_flow(placed):
        changes = [item.change for item in items]
        lines += map(str, items)
        lines.append(f"  {flow} v{version}: {worst(changes)}{_proposal(flow, version, changes)}")
    changes = [item.change for item in placed]
    asks = asked_for(changes)
    count = "1 flow" if flows == 1 else f"{flows} flows"
    asked = f"it asks for a new {asks} version" if asks else "nothing that a caller or a run could notice changed"
    return "\n".join([*lines, f"{count} beside `{revision}`: {worst(changes)}; {asked}"])


def _proposal(flow: str, version: int, changes: Sequence[Change]) -> str:
    if not worst(changes).is_breaking:
        return ""
    if any(change.kind.is_breaking and not change.path for change in changes):
        return f"\n    hint: keep version {version} of `{flow}` beside what replaces it, until nobody calls it"
    return (
        f"\n    hint: leave what is there and add the new beside it, or make the change in a new file with "
        f"`name: {flow}` and `version: {version + 1}`; both are served"
    )


def _as_json(revision: str, placed: Sequence[_Placed]) -> str:
    flows: list[Mapping[str, Any]] = []
    for (flow, version), items in _by_flow(placed):
        changes = [item.change for item in items]
        flows.append(
            {
                "flow": flow,
                "version": version,
                **_summary(changes),
                "changes": [item.to_json() for item in items],
            }
        )
    document = {"revision": revision, **_summary([item.change for item in placed]), "flows": flows}
    return json.dumps(document, indent=2, ensure_ascii=False)


def _summary(changes: Sequence[Change]) -> Mapping[str, str | None]:
    asks, verdict = asked_for(changes), worst(changes)
    assert isinstance(verdict, Verdict)
    return {"verdict": str(verdict), "asks_for": None if asks is None else str(asks)}
