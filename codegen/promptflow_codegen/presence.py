"""What of a flow's inputs and results is surely there, as far as its plan alone can tell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any

from jinja2 import nodes

from promptflow_codegen.build_fields import is_sometimes_absent
from promptflow_codegen.check.absences import Absences
from promptflow_codegen.plan import FlowPlan, StepPlan
from promptflow_codegen.template_sandbox import FlowEnvironment
from promptflow_codegen.template_syntax import Read, TemplateError, TemplateKind, parse_template, template_environment
from promptflow_core.types import ListType, MapType, ObjectType, ValueType


class Presence(StrEnum):
    """Whether a field of the result is there once a run has completed."""

    ALWAYS = "always"
    SOMETIMES = "sometimes"
    UNKNOWN = "unknown"
    """Only the run can tell; lists and maps, which cannot be absent, too."""


def presence_of(plan: FlowPlan) -> Mapping[str, Presence]:
    """Each field of the result."""
    if plan.outputs is None:
        return {step.name: _of_step(step) for step in plan.steps}
    environment = template_environment()
    found: dict[str, Presence] = {}
    for field in plan.result.fields:
        is_list = isinstance(field.type, ListType | MapType)
        value = plan.outputs[field.name]
        found[field.name] = Presence.UNKNOWN if is_list else _of_value(value, plan, environment)
    return found


def missed_inputs(plan: FlowPlan) -> frozenset[str]:
    """The inputs that may not be sent though a template reads them as if they always were."""
    environment = template_environment()
    conditions = {step.name: step.condition for step in plan.steps if step.condition is not None}
    absences = Absences(conditions, plan.inputs, environment)
    found: set[str] = set()
    for condition, value in _templates(plan):
        try:
            facts = absences.where(condition, environment)
            body = parse_template(value, environment).body
        except TemplateError:
            continue
        found |= {str(read.path[1]) for read in absences.unguarded(body, facts) if read.path[0] == "inputs"}
    return frozenset(found)


def _templates(plan: FlowPlan) -> Iterator[tuple[str | None, str]]:
    """Every text of a plan that may be a template, with the condition under which it is rendered."""
    for step in plan.steps:
        yield from ((None, text) for text in _texts(step.condition))
        yield from ((step.condition, text) for text in _texts([step.for_each, step.config]))
    yield from ((None, text) for text in _texts(plan.outputs))


def _texts(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case Mapping():
            for inner in value.values():  # pyright: ignore[reportUnknownVariableType]
                yield from _texts(inner)
        case list() | tuple():
            for inner in value:  # pyright: ignore[reportUnknownVariableType]
                yield from _texts(inner)
        case _:
            pass


def _of_step(step: StepPlan) -> Presence:
    if step.for_each is not None:
        return Presence.UNKNOWN
    return Presence.ALWAYS if step.condition is None else Presence.SOMETIMES


def _of_value(value: Any, plan: FlowPlan, environment: FlowEnvironment) -> Presence:
    if value is None:
        return Presence.SOMETIMES
    if not isinstance(value, str):
        return Presence.ALWAYS
    try:
        parsed = parse_template(value, environment)
    except TemplateError:
        return Presence.UNKNOWN
    if parsed.kind is not TemplateKind.EXPRESSION:
        return Presence.ALWAYS
    if parsed.direct is not None:
        return _of_read(parsed.direct, plan)
    tree = environment.parse(value)
    names_none = any(constant.value is None for constant in tree.find_all(nodes.Const))
    return Presence.SOMETIMES if names_none else Presence.UNKNOWN


def _of_read(read: Read, plan: FlowPlan) -> Presence:
    """A plain read of something skipped fails the run, so that its result lacks nothing."""
    match read.path:
        case ("system", _):
            return Presence.ALWAYS
        case ("inputs", str() as name, *rest):
            field = plan.inputs.field(name)
            if field is None:
                return Presence.UNKNOWN
            if not field.required and field.default is None:
                return Presence.SOMETIMES if not rest else Presence.UNKNOWN
            return _inside(field.type, rest)
        case ("steps", str() as name, *rest):
            step = next((step for step in plan.steps if step.name == name), None)
            if step is None or step.for_each is not None:
                return Presence.UNKNOWN
            found = _inside(step.output, rest)
            # What a config declares, an executor such as `combine` fills in every run; a model of its own knows better.
            is_declared = found is Presence.SOMETIMES and not step.output.name
            return Presence.UNKNOWN if is_declared else found
        case _:
            return Presence.UNKNOWN


def _inside(value_type: ValueType, path: list[str | int]) -> Presence:
    if not path:
        return Presence.ALWAYS
    key, *rest = path
    if not isinstance(value_type, ObjectType) or not isinstance(key, str):
        return Presence.UNKNOWN
    field = value_type.field(key)
    if field is None:
        return Presence.UNKNOWN
    if is_sometimes_absent(field):
        return Presence.SOMETIMES if not rest else Presence.UNKNOWN
    return _inside(field.type, rest)
