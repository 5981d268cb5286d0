"""Whether a bundle may take the place of another: what clients of the other would notice."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

from promptflow_codegen.bundle import Bundle
from promptflow_codegen.evolution import compare_bundles
from promptflow_codegen.plan import FlowPlan
from promptflow_core.errors import Violation


def what_breaks(old: Bundle, new: Bundle, *, may_drop_flows: bool) -> Iterator[Violation]:
    """What stands against serving `new` instead of `old`, the worst of each flow first. Blocking.

    Who publishes has asked for it, so that a flow may go as a whole; where one bundle happens to come upon another,
    as with two projects on one Redis, none may.
    """
    stays = {(plan.name, plan.version) for plan in new.plans}
    for change in compare_bundles(*only_what_differs(old, new)):
        if not change.kind.is_breaking or (may_drop_flows and (change.flow, change.version) not in stays):
            continue
        where = f"`{change.flow}` v{change.version}" + (f", {change.path}" if change.path else "")
        advice = "keep it and add a new field, or give the flow the next `version`"
        yield Violation(where, f"{change.message}: {change.kind}; {advice}")


def only_what_differs(old: Bundle, new: Bundle) -> tuple[Bundle, Bundle]:
    """Two bundles without the flows that both have just so, plan and file: most flows of most changes."""
    files, others = _files_by_package(old), _files_by_package(new)
    plans, other_plans = _plans_by_package(old), _plans_by_package(new)
    same = {
        package
        for package, found in plans.items()
        if other_plans.get(package) == found and others.get(package) == files.get(package)
    }
    return _without(old, files, same), _without(new, others, same)


def _without(bundle: Bundle, files: Mapping[str, Sequence[FileDescriptorProto]], packages: Collection[str]) -> Bundle:
    plans = tuple(plan for plan in bundle.plans if plan.package not in packages)
    kept = [file for package, found in files.items() if package not in packages for file in found]
    return replace(bundle, plans=plans, descriptors=FileDescriptorSet(file=kept).SerializeToString())


def _plans_by_package(bundle: Bundle) -> Mapping[str, Sequence[FlowPlan]]:
    found: dict[str, list[FlowPlan]] = {}
    for plan in bundle.plans:
        found.setdefault(plan.package, []).append(plan)
    return found


def _files_by_package(bundle: Bundle) -> Mapping[str, Sequence[FileDescriptorProto]]:
    found: dict[str, list[FileDescriptorProto]] = {}
    for file in FileDescriptorSet.FromString(bundle.descriptors).file:
        found.setdefault(file.package, []).append(file)
    return found
