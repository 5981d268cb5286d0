"""Flows against a catalogue of executors and against each other."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from promptflow_codegen.check.absences import Absences
from promptflow_codegen.check.graph import order_steps
from promptflow_codegen.check.inputs import check_inputs
from promptflow_codegen.check.outputs import check_outputs
from promptflow_codegen.check.scope import Scope
from promptflow_codegen.check.steps import check_steps, type_steps
from promptflow_codegen.check.subflows import Callees, calling_order
from promptflow_codegen.check.templates import TemplateCheck
from promptflow_codegen.checked import CheckedFlow
from promptflow_codegen.diagnostics import Report
from promptflow_codegen.naming import RESERVED_FLOWS, folded, is_python_keyword
from promptflow_codegen.nodes import FlowNode
from promptflow_codegen.plan import FlowRef
from promptflow_codegen.template_syntax import template_environment
from promptflow_core.executor import Catalog


def check_flows(
    flows: Sequence[tuple[FlowNode, Report]], catalog: Catalog, unreadable: Collection[str] = ()
) -> list[CheckedFlow]:
    """What the flows mean, in their order, without those in which something is wrong; that goes to their reports.

    `unreadable`: names of flows whose files could not be read; that there are none is not held against who calls them.
    """
    _check_folded(flows)
    callees = Callees((FlowRef(node.name.text, node.version) for node, _ in flows), unreadable)
    checked: dict[int, CheckedFlow] = {}
    for node, report in calling_order(flows):
        flow = check_flow(node, catalog, report, callees)
        if flow is not None:
            checked[id(node)] = flow
            callees.add(flow)
    return [checked[id(node)] for node, _ in flows if id(node) in checked]


def check_flow(flow: FlowNode, catalog: Catalog, report: Report, callees: Callees | None = None) -> CheckedFlow | None:
    """What the flow means, or None where something in it is wrong; everything that is wrong goes to `report`."""
    callees = Callees() if callees is None else callees
    _check_name(flow, report)
    environment = template_environment()
    inputs = check_inputs(flow.inputs, report)
    typed = type_steps(flow, catalog, callees, report)
    scope = Scope(inputs, {step.node.name.text: step.result_type for step in typed})
    conditions = {step.name.text: str(step.condition.value) for step in flow.steps if step.condition}
    check = TemplateCheck(scope, report, environment, Absences(conditions, inputs, environment))
    steps = check_steps(flow, typed, check, report)
    outputs = None if flow.outputs is None else check_outputs(flow.outputs, check.of_one(), report)
    if report.has_errors or any(step.work is None for step in typed):
        return None
    order = order_steps({step.name: step.needs for step in steps})
    return CheckedFlow(flow, inputs, steps, order, outputs, frozenset(check.inputs_missed))


def _check_folded(flows: Sequence[tuple[FlowNode, Report]]) -> None:
    """Generated clients fold names: of two that are alike to them, each would be the other's."""
    seen: dict[str, FlowNode] = {}
    for node, report in flows:
        name = node.name.text
        twin = seen.setdefault(folded(name), node)
        if twin.name.text != name:
            message = f"flow `{name}` collides with `{twin.name.text}` in {twin.file}"
            report.error("name-collision", node.name.position, message, "rename one of them")


def _check_name(flow: FlowNode, report: Report) -> None:
    name = flow.name.text
    if name in RESERVED_FLOWS:
        message = f"a flow cannot be called `{name}`: the control plane has that path"
        report.error("reserved-name", flow.name.position, message, "rename the flow")
    elif is_python_keyword(name):
        message = f"a flow cannot be called `{name}`: Python has no package of that name"
        report.error("reserved-name", flow.name.position, message, "rename the flow")
