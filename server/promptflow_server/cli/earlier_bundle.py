"""The bundle of a project, and of an earlier state of it, for comparing the two."""

from __future__ import annotations

import shutil
from pathlib import Path

from promptflow_codegen.bundle import Bundle
from promptflow_codegen.compat import CODE as BREAKING
from promptflow_codegen.compile import ProtocError, compile_descriptors
from promptflow_codegen.generate import generate
from promptflow_codegen.naming import lock_path
from promptflow_codegen.project import Project
from promptflow_codegen.removal import CODE as REMOVED
from promptflow_core.executor import Catalog
from promptflow_server.cli.failures import CommandError

_COMPARED = (BREAKING, REMOVED)
"""What would be refused, and is compared all the same."""


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
    bundle = comparable_bundle(before, catalog, when)
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


def comparable_bundle(project: Project, catalog: Catalog, when: str) -> Bundle:
    """The bundle of a project's flows, what their locks refuse included; `when` says which state it is.

    Raises:
        CommandError: the state does not generate.
    """
    generated = generate(project, catalog, tolerated=_COMPARED)
    if generated.bundle is None:
        errors = [str(found) for found in generated.diagnostics if found.is_error and found.code not in _COMPARED]
        more = f"\nand {len(errors) - 5} more" if len(errors) > 5 else ""
        raise CommandError(
            f"the flows {when} do not generate with the executors that are installed now:\n"
            + "\n".join(errors[:5])
            + more
        )
    return generated.bundle
