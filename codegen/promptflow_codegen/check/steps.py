"""Steps: executors that exist, config that fits them, templates that read what is there, an order without cycles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from promptflow_codegen.check.constants import check_constants
from promptflow_codegen.check.declared import DECLARING, declared_values
from promptflow_codegen.check.graph import find_cycle
from promptflow_codegen.check.shapes import misshapen, normalised_object
from promptflow_codegen.check.subflows import MAX_RESULTS, Callees
from promptflow_codegen.check.templates import TemplateCheck
from promptflow_codegen.checked import CheckedFlow, CheckedStep
from promptflow_codegen.diagnostics import Position, Report
from promptflow_codegen.naming import RESERVED_ITEMS, RESERVED_STEPS, folded, output_message
from promptflow_codegen.nodes import FlowNode, StepNode
from promptflow_codegen.template_syntax import nearest
from promptflow_codegen.tree import node_at, to_plain
from promptflow_core.executor import Catalog, ExecutorSpec
from promptflow_core.type_syntax import FIELD_NAME, TypeSyntaxError
from promptflow_core.types import SCALARS, ListType, MapType, ObjectType, ValueType, spelling

MAX_STEPS = 500


@dataclass(frozen=True, slots=True)
class TypedStep:
    """A step, its executor or flow, and what it answers; None where that is unknown, which is reported."""

    node: StepNode
    work: ExecutorSpec | CheckedFlow | None
    output: ObjectType | None

    @property
    def result_type(self) -> ValueType | None:
        """What `steps.<name>` is in templates."""
        if self.output is None or self.node.for_each is None:
            return self.output
        return ListType(self.output)


def type_steps(flow: FlowNode, catalog: Catalog, callees: Callees, report: Report) -> tuple[TypedStep, ...]:
    """The steps with what their executors or flows answer."""
    if len(flow.steps) > MAX_STEPS:
        report.error("too-many", flow.steps[MAX_STEPS].name.position, f"a flow has at most {MAX_STEPS} steps")
    _check_names(flow.steps, report)
    steps: list[TypedStep] = []
    for node in flow.steps[:MAX_STEPS]:
        if node.callee is not None:
            called = callees.find(node.callee, report)
            steps.append(TypedStep(node, called, called.result if called else None))
            continue
        spec = _find_executor(node, catalog, report)
        steps.append(TypedStep(node, spec, _output_of(node, spec, report) if spec else None))
    _check_messages(steps, report)
    _check_results(steps, callees, report)
    return tuple(steps)


def check_steps(
    flow: FlowNode, steps: Sequence[TypedStep], check: TemplateCheck, report: Report
) -> tuple[CheckedStep, ...]:
    """The steps with what they need; those that cannot run are left out, which is reported."""
    needs = {step.node.name.text: _check_step(step, check.of_one(), flow, report) for step in steps}
    cycle = find_cycle(needs)
    if cycle:
        node = next(step.node for step in steps if step.node.name.text == cycle[0])
        message = f"steps wait for each other: {' -> '.join(cycle)}"
        report.error("cycle", node.name.position, message, "each step may read only what is over before it starts")
    return tuple(
        CheckedStep(step.node, step.work, step.output, needs[step.node.name.text])
        for step in steps
        if step.work is not None and step.output is not None
    )


def _check_names(steps: Sequence[StepNode], report: Report) -> None:
    seen: dict[str, str] = {}
    for step in steps:
        name, position = step.name.text, step.name.position
        if name in RESERVED_STEPS:
            report.error("reserved-name", position, f"`{name}` is a name of the contract", "rename the step")
        if folded(name) in seen:
            twin = seen[folded(name)]
            code, verb = (
                ("duplicate-name", "is here twice") if twin == name else ("name-collision", f"collides with `{twin}`")
            )
            report.error(code, position, f"step `{name}` {verb}", "rename one of them")
        seen.setdefault(folded(name), name)


def _find_executor(node: StepNode, catalog: Catalog, report: Report) -> ExecutorSpec | None:
    name = node.executor.text
    if not name:
        return None
    spec = catalog.get(name)
    if spec is None:
        close = nearest(name, catalog)
        known = f"executors are {', '.join(sorted(catalog))}"
        hint = f"did you mean `{close}`? {known}" if close else known
        report.error("unknown-executor", node.executor.position, f"there is no executor `{name[:80]}`", hint)
    elif not FIELD_NAME.fullmatch(name):
        message = f"executor `{name}` cannot be used: its name is not lower_snake_case with a letter after each `_`"
        report.error("bad-name", node.executor.position, message, "its author has to rename it")
        return None
    return spec


def _output_of(node: StepNode, spec: ExecutorSpec, report: Report) -> ObjectType | None:
    plain: Mapping[str, Any] = to_plain(node.config)
    if any(field.required and field.name not in plain for field in spec.config.fields):
        return None  # reported with the other keys of the config
    try:
        output = spec.output_type(plain)
    except TypeSyntaxError as error:
        place = node_at(node.config, error.path)
        report.error("bad-config", place.position, f"config of step `{node.name.text}`: {error}", error.hint)
        return None
    except ValueError as error:
        report.error("bad-config", node.config.position, f"config of step `{node.name.text}`: {error}")
        return None
    if spec.name in DECLARING:
        _check_inner_defaults(node, output, report)
    problems = tuple(misshapen(output))
    for problem in problems:
        message = f"the output of step `{node.name.text}` cannot be sent: {problem}"
        report.error("bad-output-type", node.config.position, message)
    return None if problems else normalised_object(output)


def _check_inner_defaults(node: StepNode, output: ObjectType, report: Report) -> None:
    """Refuse defaults inside objects that a config declares: values are fitted to their fields, not completed."""
    waiting = [field.type for field in output.fields]
    while waiting:
        match waiting.pop():
            case ListType(element=inner) | MapType(value=inner):
                waiting.append(inner)
            case ObjectType(fields=fields):
                waiting += [field.type for field in fields]
                for field in fields:
                    if field.default is not None:
                        message = f"the default of `{field.name}`, which is inside an object, would never be applied"
                        report.error(
                            "bad-default", node.config.position, message, "say it in the value: `| default(…)`"
                        )
            case _:
                pass


def _check_messages(steps: Sequence[TypedStep], report: Report) -> None:
    """Two steps may share a message only where it has one shape."""
    seen: dict[str, tuple[str, ObjectType]] = {}
    for step in steps:
        if step.output is None or step.node.callee is not None:
            continue
        name = step.node.name.text
        message = output_message(name, step.node.executor.text, step.output)
        twin, shape = seen.setdefault(message, (name, step.output))
        if shape != step.output:
            text = f"the outputs of steps `{twin}` and `{name}` differ, but both are `{message}`"
            report.error("name-collision", step.node.name.position, text, "rename one of the steps")


def _check_results(steps: Sequence[TypedStep], callees: Callees, report: Report) -> None:
    """What the plan has to say about results of other flows stays readable, however they nest."""
    size = 0
    for step in steps:
        size += callees.size(step.work) if isinstance(step.work, CheckedFlow) else 0
        if size > MAX_RESULTS and step.node.callee is not None:
            message = f"the results of the flows that the steps run have more than {MAX_RESULTS} fields in all"
            hint = "give those flows `outputs` of what is read, or use `json` for parts of them"
            report.error("too-many", step.node.callee.position, message, hint)
            return


def _check_step(step: TypedStep, check: TemplateCheck, flow: FlowNode, report: Report) -> tuple[str, ...]:
    """Everything in a step that refers to something else; the steps that it needs."""
    node, name = step.node, step.node.name.text
    config_check = check
    if node.condition is not None:
        result = check.expression(node.condition, f"`condition` of step `{name}`")
        if result is not None and result.type is not None and spelling(result.type) not in ("boolean", "json"):
            message = f"`condition` of step `{name}` yields {spelling(result.type)}, not true or false"
            report.error("type-mismatch", node.condition.position, message, "compare it with something")
        config_check = check.where(node.condition)
    if node.for_each is not None:
        item = _item_type(step, config_check, report)
        config_check = config_check.in_scope(_item_names(node, item, report))
    match step.work:
        case ExecutorSpec() as spec:
            config_check.native().fields(node.config, spec.config, f"`{spec.name}`", is_config=True)
            for value, field in declared_values(spec.name, node.config, step.output or ObjectType(())):
                what = f"`{field.name}` of step `{name}`"
                is_needed = field.required and field.default is None
                config_check.value(value, field.type, what, is_needed=is_needed)
        case CheckedFlow() as callee:
            config_check.fields(node.config, callee.inputs, f"flow `{callee.name}`")
            check_constants(node.config, callee.inputs, f"flow `{callee.name}`", report)
        case None if node.callee is not None:
            config_check.value(node.config, None, "the config")
        case None:
            pass
    return _needs_of(step, check.steps_read, flow, report)


def _item_type(step: TypedStep, check: TemplateCheck, report: Report) -> ValueType | None:
    assert step.node.for_each is not None
    result = check.expression(step.node.for_each, f"`for_each` of step `{step.node.name.text}`")
    if result is None or result.type is None or spelling(result.type) == "json":
        return None
    if isinstance(result.type, ListType):
        return result.type.element
    message = f"`for_each` of step `{step.node.name.text}` goes over {spelling(result.type)}, not over a list"
    report.error("type-mismatch", step.node.for_each.position, message)
    return None


def _item_names(node: StepNode, item: ValueType | None, report: Report) -> Mapping[str, ValueType | None]:
    name = node.item.text if node.item else "item"
    if node.item and name in RESERVED_ITEMS:
        report.error("reserved-name", node.item.position, f"`{name}` has a meaning of its own", "rename the item")
    return {"index": SCALARS["integer"], name: item}


def _needs_of(step: TypedStep, steps_read: Mapping[str, Position], flow: FlowNode, report: Report) -> tuple[str, ...]:
    name = step.node.name.text
    listed = [other.name.text for other in flow.steps]
    wanted = dict(steps_read)
    for need in step.node.needs:
        if need.text in listed:
            wanted.setdefault(need.text, need.position)
        else:
            close = nearest(need.text, listed)
            hint = f"did you mean `{close}`?" if close else f"steps: {', '.join(listed)}"
            report.error("unknown-step", need.position, f"there is no step `{need.text}`", hint)
    if name in wanted:
        report.error("self-reference", wanted.pop(name), f"step `{name}` waits for itself")
    if flow.is_sequential:
        _add_order(name, wanted, listed, report)
    return tuple(need for need in dict.fromkeys(listed) if need in wanted)


def _add_order(name: str, wanted: dict[str, Position], listed: Sequence[str], report: Report) -> None:
    """`order: sequential` makes a step need the one before it, and forbids it to need a later one."""
    place = listed.index(name)
    for need in [need for need in wanted if listed.index(need) > place]:
        message = f"step `{name}` needs `{need}`, which `order: sequential` runs later"
        report.error("cycle", wanted.pop(need), message, "list the steps in the order in which they run")
    if place:
        wanted.setdefault(listed[place - 1], Position())
