"""The verdict on an edit: the flows of the work tree beside those of a git revision.

Status 0: no client that is out notices, though runs may do something else. Status 1: one does, or nothing could be
compared, which a line on standard error tells apart.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console

from promptflow_codegen.bundle import Bundle
from promptflow_codegen.diagnostics import Position, Report
from promptflow_codegen.evolution import Change, compare_bundles
from promptflow_codegen.evolution.places import place_of
from promptflow_codegen.project import Project
from promptflow_codegen.source import parse_source, read_bytes
from promptflow_codegen.tree import Node
from promptflow_server.cli.diff_formats import DiffFormat, PlacedChange, render_diff
from promptflow_server.cli.earlier_bundle import bundle_at, comparable_bundle
from promptflow_server.cli.environment import load_registry, project_at, settings_of, with_executors_of
from promptflow_server.cli.failures import CommandError
from promptflow_server.cli.revision import export_revision


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
        new = comparable_bundle(project, catalog, "in the work tree")
        placed = list(_placed(compare_bundles(old, new), (before, old, f"{revision}:"), (project, new, "")))
    console.out(render_diff(revision, len(new.plans), placed, form), highlight=False)
    breaking = sum(item.change.kind.is_breaking for item in placed)
    if breaking:
        are = "change breaks" if breaking == 1 else "changes break"
        raise CommandError(f"{breaking} {are} clients that are out")


def _placed(
    changes: Sequence[Change], old: tuple[Project, Bundle, str], new: tuple[Project, Bundle, str]
) -> Iterator[PlacedChange]:
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
        yield PlacedChange(change, prefix + plan.source, place_of(root, words) if root is not None else Position())
