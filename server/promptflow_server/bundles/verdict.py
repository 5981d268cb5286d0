"""What must hold before a bundle is published: its flows can be served and run here, and break no client."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, islice

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

from promptflow_codegen.bundle import Bundle, BundleError
from promptflow_codegen.evolution import compare_bundles
from promptflow_codegen.plan import FlowPlan, StepPlan
from promptflow_core.errors import FlowError, Reason, Violation
from promptflow_core.registry import ExecutorRegistry
from promptflow_server.engine.templates import TemplateEngine
from promptflow_server.services.contracts import Contracts

MOST = 32
"""Problems that are told at once."""

NEEDED = ("promptflow_api.v1.FlowService", "promptflow_api.v1.ExecutionService")


def judge(bundle: Bundle, contracts: Contracts, served: Bundle, registry: ExecutorRegistry) -> None:
    """Nothing, where all servers may serve `bundle` after `served`. Blocking; a second for a thousand new flows.

    Raises:
        FlowError: BUNDLE_REFUSED, with every reason as a violation.
    """
    served, changed = _only_what_differs(served, bundle)
    problems = list(islice(chain(_messages(changed, contracts), _runs(bundle, changed, registry)), MOST))
    # Descriptors that do not hold together cannot be compared.
    problems = problems or list(islice(_breaks(served, changed, bundle), MOST))
    if problems:
        raise refusal(problems)


def refusal(problems: Sequence[Violation]) -> FlowError:
    """The answer to a publisher: what is served stays, and why."""
    first, rest = problems[0], len(problems) - 1
    more = f" (and {rest} more)" if rest else ""
    return FlowError(
        Reason.BUNDLE_REFUSED,
        f"the bundle is not published: {first.field}: {first.description}{more}",
        violations=tuple(problems),
    )


def _only_what_differs(first: Bundle, second: Bundle) -> tuple[Bundle, Bundle]:
    """Two bundles without the flows that both have just so, plan and file: most flows of most publishes."""
    files, others = _files_by_package(first), _files_by_package(second)
    plans = _plans_by_package(second)
    same = {
        package
        for package, found in _plans_by_package(first).items()
        if plans.get(package) == found and others.get(package) == files.get(package)
    }
    return _without(first, files, same), _without(second, others, same)


def _without(bundle: Bundle, files: Mapping[str, Sequence[bytes]], packages: Collection[str]) -> Bundle:
    plans = tuple(plan for plan in bundle.plans if plan.package not in packages)
    kept = [file for package, found in files.items() if package not in packages for file in found]
    descriptors = FileDescriptorSet(file=map(FileDescriptorProto.FromString, kept)).SerializeToString()
    return replace(bundle, plans=plans, descriptors=descriptors)


def _plans_by_package(bundle: Bundle) -> Mapping[str, Sequence[FlowPlan]]:
    found: dict[str, list[FlowPlan]] = {}
    for plan in bundle.plans:
        found.setdefault(plan.package, []).append(plan)
    return found


def _files_by_package(bundle: Bundle) -> Mapping[str, Sequence[bytes]]:
    found: dict[str, list[bytes]] = {}
    for file in FileDescriptorSet.FromString(bundle.descriptors).file:
        found.setdefault(file.package, []).append(file.SerializeToString(deterministic=True))
    return found


def _messages(changed: Bundle, contracts: Contracts) -> Iterator[Violation]:
    for service in NEEDED:
        try:
            contracts.pool.FindServiceByName(service)
        except KeyError:
            yield Violation("bundle", f"it lacks the service `{service}`; generate it with this release")
    for plan in changed.plans:
        try:
            contracts.of_flow(plan.name, plan.version)
        except BundleError as error:
            yield Violation(_title(plan), str(error))


def _runs(bundle: Bundle, changed: Bundle, registry: ExecutorRegistry) -> Iterator[Violation]:
    """What this server could not run. Templates that are served already are not compiled again."""
    new = {(plan.name, plan.version) for plan in changed.plans}
    for plan in bundle.plans:
        problems = [problem for step in plan.steps if (problem := _step_problem(step, registry))]
        yield from (Violation(_title(plan), problem) for problem in problems)
        if not problems and (plan.name, plan.version) in new:
            try:
                TemplateEngine(plan)
            except FlowError as error:
                yield Violation(_title(plan), error.record.message)


def _step_problem(step: StepPlan, registry: ExecutorRegistry) -> str:
    # A step that calls another flow has no executor.
    if not step.executor:
        return ""
    if step.executor not in registry:
        return (
            f"step `{step.name}` needs the executor `{step.executor}`, which this server does not have; executors are "
            "code and are not reloaded: install it, restart servers and workers, then publish"
        )
    queue = registry[step.executor].queue
    if queue != step.queue:
        return (
            f"step `{step.name}` expects `{step.executor}` {_place(step.queue)}, here it runs {_place(queue)}; "
            "generate with the executors that the servers have"
        )
    return ""


def _place(queue: str | None) -> str:
    return "inside the server" if queue is None else f"in the pool `{queue}`"


def _breaks(served: Bundle, changed: Bundle, bundle: Bundle) -> Iterator[Violation]:
    """What clients of a flow that stays would notice; a flow may go as a whole."""
    stays = {(plan.name, plan.version) for plan in bundle.plans}
    for change in compare_bundles(served, changed):
        if change.kind.is_breaking and (change.flow, change.version) in stays:
            where = f"`{change.flow}` v{change.version}" + (f", {change.path}" if change.path else "")
            advice = "keep it and add a new field, or give the flow the next `version`"
            yield Violation(where, f"{change.message}: {change.kind}; {advice}")


def _title(plan: FlowPlan) -> str:
    return f"`{plan.name}` v{plan.version}"
