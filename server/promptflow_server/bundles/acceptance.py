"""What must hold before a bundle is published: its flows can be served and run here, and break no client.

The last is asked of `replacing`; what is here is that this release, with its executors, can do what the plans say.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, islice

from promptflow_codegen.bundle import Bundle, BundleError
from promptflow_codegen.plan import FlowPlan, StepPlan
from promptflow_core.errors import FlowError, Reason, Violation
from promptflow_core.registry import ExecutorRegistry
from promptflow_server.bundles.replacing import only_what_differs, what_breaks
from promptflow_server.engine.templates import TemplateEngine
from promptflow_server.services.contracts import Contracts

MOST = 32
"""Problems that are told at once."""

NEEDED = ("promptflow_api.v1.FlowService", "promptflow_api.v1.ExecutionService")


def require_acceptable(bundle: Bundle, contracts: Contracts, served: Bundle, registry: ExecutorRegistry) -> None:
    """Nothing, where all servers may serve `bundle` after `served`. Blocking; a second for a thousand new flows.

    Raises:
        FlowError: BUNDLE_REFUSED, with every reason as a violation.
    """
    served, changed = only_what_differs(served, bundle)
    problems = list(islice(chain(_messages(changed, contracts), _runs(bundle, changed, registry)), MOST))
    # Descriptors that do not hold together cannot be compared.
    problems = problems or list(islice(what_breaks(served, changed, may_drop_flows=True), MOST))
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


def _title(plan: FlowPlan) -> str:
    return f"`{plan.name}` v{plan.version}"
