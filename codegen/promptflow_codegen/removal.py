"""Flows that were generated and that no file declares any more, or not in that package: no report could refuse it."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from promptflow_codegen.diagnostics import Diagnostic, Position, Severity
from promptflow_codegen.naming import proto_path
from promptflow_codegen.project import SETTINGS_FILE, Project

CODE = "removed-flow"

_VERSION = re.compile(r"v[1-9][0-9]*")


@dataclass(frozen=True, slots=True)
class EarlierFlow:
    """A flow in a package that the project's flows had before; `name` is what `removed` calls it."""

    flow: str
    version: str
    package: str
    proto: Path

    @property
    def name(self) -> str:
        """`acme.flows.mail@1`."""
        return f"{self.package}.{self.flow}@{self.version}"


def removed_flows(project: Project, declared: Collection[tuple[str, int]]) -> Iterator[Diagnostic]:
    """An error for each generated proto whose flow is neither `declared` nor listed as `removed` in the settings.

    Of one that is listed, the next write removes the proto; its lock stays.
    """
    yield from _undeclared(project, declared)
    yield from _moved(project, declared)


def earlier_flows(project: Project, declared: Collection[tuple[str, int]]) -> Iterator[EarlierFlow]:
    """Flows that were generated in other packages, which hold one that is `declared`: of others, none is seen."""
    names = {name for name, _ in declared}
    found: dict[str, list[EarlierFlow]] = {}
    for earlier in _outside(project, names):
        found.setdefault(earlier.package, []).append(earlier)
    for _, flows in sorted(found.items()):
        if any(each.flow in names for each in flows):
            yield from sorted(flows, key=lambda each: each.proto)


def _undeclared(project: Project, declared: Collection[tuple[str, int]]) -> Iterator[Diagnostic]:
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


def _moved(project: Project, declared: Collection[tuple[str, int]]) -> Iterator[Diagnostic]:
    for earlier in earlier_flows(project, declared):
        if earlier.name in project.removed:
            continue
        message = (
            f"flow `{earlier.flow}` v{earlier.version} was generated in package `{earlier.package}`, and the flows are "
            f"in `{project.flows_package}` now: calls of those who know it there will fail"
        )
        hint = (
            f"keep `package: {earlier.package}`, or confirm by `removed: [{earlier.name}]` in {SETTINGS_FILE}; "
            "where nobody uses it yet, delete its folder below `proto/`"
        )
        file = project.relative(earlier.proto).as_posix()
        yield Diagnostic(Severity.ERROR, CODE, file, Position(), message, hint)


def _outside(project: Project, declared: Collection[str]) -> Iterator[EarlierFlow]:
    """What has a proto and its lock beside each other, in another package."""
    own = str(project.proto_dir / project.flows_package.replace(".", "/"))
    for folder, folders, files in os.walk(project.proto_dir):
        if folder == own:
            # There may be thousands of flows in it, and where another package began below it, some other folder.
            folders[:] = [name for name in folders if name not in declared]
        *parts, flow, version = ("", "", *Path(folder).relative_to(project.proto_dir).parts)
        package = ".".join(filter(None, parts))
        if package in ("", project.flows_package) or not _VERSION.fullmatch(version):
            continue
        if {f"{flow}.proto", f"{flow}.lock.yaml"} <= set(files):
            yield EarlierFlow(flow, version.removeprefix("v"), package, Path(folder) / f"{flow}.proto")
