"""Flows that were generated and that no file declares any more: no flow is left whose report could refuse it."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from promptflow_codegen.diagnostics import Diagnostic, Position, Severity
from promptflow_codegen.naming import proto_path
from promptflow_codegen.project import SETTINGS_FILE, Project

CODE = "removed-flow"


def removed_flows(project: Project, declared: Collection[tuple[str, int]]) -> Iterator[Diagnostic]:
    """An error for each generated proto whose flow is neither `declared` nor listed as `removed` in the settings.

    Of one that is listed, the next write removes the proto; its lock stays.
    """
    kept = {project.proto_dir / proto_path(name, version, project.flows_package) for name, version in declared}
    folder = project.proto_dir / project.flows_package.replace(".", "/")
    for path in sorted(folder.glob("*/v*/*.proto")):
        flow, version = path.stem, path.parent.name.removeprefix("v")
        if path not in kept and flow == path.parents[1].name and f"{flow}@{version}" not in project.removed:
            message = f"no file declares flow `{flow}` v{version} any more: calls of it will fail"
            hint = (
                f"keep its file beside the new one, or confirm by `removed: [{flow}@{version}]` in {SETTINGS_FILE}; "
                "where nobody uses it yet, delete its folder below `proto/`"
            )
            file = project.relative(path).as_posix()
            yield Diagnostic(Severity.ERROR, CODE, file, Position(), message, hint)
