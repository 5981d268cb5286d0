"""A checked flow as the plan that the engine runs."""

from __future__ import annotations

from promptflow_codegen.checked import CheckedFlow, CheckedStep
from promptflow_codegen.naming import FLOWS_PACKAGE, camel, package_of
from promptflow_codegen.plan import FlowPlan, FlowRef, StepPlan
from promptflow_codegen.tree import ScalarNode, to_plain


def lower_flow(flow: CheckedFlow, root: str = FLOWS_PACKAGE) -> FlowPlan:
    """The plan of one flow whose API is below the package `root`; its steps are in an order in which they may run."""
    steps = {step.name: step for step in flow.steps}
    outputs = None
    if flow.outputs is not None:
        outputs = {output.node.name.text: to_plain(output.node.value) for output in flow.outputs}
    return FlowPlan(
        name=flow.name,
        version=flow.version,
        package=package_of(flow.name, flow.version, root),
        service=f"{camel(flow.name)}Service",
        inputs=flow.inputs,
        steps=tuple(_lower_step(steps[name]) for name in flow.order),
        result=flow.result,
        outputs=outputs,
        timeout_ms=flow.node.timeout_ms,
        description=flow.node.description,
        source=flow.node.file,
        labels=dict(flow.node.labels),
        output_lines={one.node.name.text: one.node.name.position.line for one in flow.outputs or ()},
    )


def _lower_step(step: CheckedStep) -> StepPlan:
    node = step.node
    return StepPlan(
        name=step.name,
        executor=step.spec.name if step.spec else "",
        queue=step.spec.queue if step.spec else None,
        output=step.output,
        config=to_plain(node.config),
        needs=step.needs,
        condition=_text(node.condition),
        for_each=_text(node.for_each),
        items_name=node.item.text if node.item else "item",
        max_parallel=node.max_parallel,
        retry=node.retry,
        timeout_ms=node.timeout_ms,
        description=node.description,
        line=node.name.position.line,
        flow=FlowRef(step.callee.name, step.callee.version) if step.callee else None,
        pools=tuple(sorted(_pools(step.callee))) if step.callee else (),
        models=step.spec.models if step.spec else (),
    )


def _pools(flow: CheckedFlow) -> set[str]:
    """The worker pools that a flow needs, with all that it calls."""
    pools: set[str] = set()
    seen: set[tuple[str, int]] = set()
    waiting = [flow]
    while waiting:
        current = waiting.pop()
        if (current.name, current.version) not in seen:
            seen.add((current.name, current.version))
            pools |= {step.spec.queue for step in current.steps if step.spec and step.spec.queue is not None}
            waiting += [step.callee for step in current.steps if step.callee]
    return pools


def _text(node: ScalarNode | None) -> str | None:
    return None if node is None else str(node.value)
