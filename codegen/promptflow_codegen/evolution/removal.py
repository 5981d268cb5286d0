"""Flows that were generated and that no file declares any more: no flow is left that could be refused for it."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from promptflow_codegen.diagnostics import Diagnostic, Position, Severity
from promptflow_codegen.naming import proto_path
from promptflow_codegen.project import Project


def removed_flows(project: Project, declared: Collection[tuple[str, int]]) -> Iterator[Diagnostic]:
    """A warning for each generated proto whose flow is not `declared`; the next write removes it, its lock stays."""
    kept = {project.proto_dir / proto_path(name, version, project.flows_package) for name, version in declared}
    folder = project.proto_dir / project.flows_package.replace(".", "/")
    for path in sorted(folder.glob("*/v*/*.proto")):
        if path not in kept and path.stem == path.parents[1].name:
            name = f"`{path.stem}` {path.parent.name}"
            message = f"no file declares flow {name} any more: calls of it will fail"
            hint = "keep its file beside the new one; its numbers stay locked, should it return"
            file = project.relative(path).as_posix()
            yield Diagnostic(Severity.WARNING, "removed-flow", file, Position(), message, hint)
