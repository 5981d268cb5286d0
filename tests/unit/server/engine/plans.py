"""Plans as the generator would write them, in a line each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from promptflow_codegen.plan import FlowPlan, FlowRef, StepPlan
from promptflow_codegen.template_syntax import parse_template
from promptflow_core.types import SCALARS, FieldType, Kind, ListType, ObjectType
from promptflow_server.engine.program import Program
from promptflow_server.engine.templates import TemplateEngine

ANY = SCALARS[Kind.JSON]
INPUTS = ObjectType(
    (
        FieldType("text", SCALARS[Kind.STRING]),
        FieldType("count", SCALARS[Kind.INTEGER]),
        FieldType("note", SCALARS[Kind.STRING]),
        FieldType("tags", ListType(SCALARS[Kind.STRING])),
    )
)
VALUE = ObjectType((FieldType("value", ANY),))


def step(name: str, value: Any = None, **fields: Any) -> StepPlan:
    """A step whose output is `{value}`; needs are inferred from its templates, as the generator does."""
    config = fields.pop("config", {"value": value})
    templates = [config, fields.get("condition"), fields.get("for_each")]
    needs = fields.pop("needs", None) or tuple(dict.fromkeys(_steps_read(templates)))
    defaults: dict[str, Any] = {"executor": "echo", "queue": None, "output": VALUE, "line": 7}
    return StepPlan(name, config=config, needs=needs, **{**defaults, **fields})


def flow(*steps: StepPlan, outputs: Mapping[str, Any] | None = None, **fields: Any) -> FlowPlan:
    """A flow of these steps."""
    names = outputs if outputs is not None else [one.name for one in steps]
    result = fields.pop("result", ObjectType(tuple(FieldType(name, ANY) for name in names)))
    defaults: dict[str, Any] = {"inputs": INPUTS, "source": "flows/sample.yaml"}
    return FlowPlan(
        "sample", 1, "pkg", "SampleService", steps=steps, outputs=outputs, result=result, **{**defaults, **fields}
    )


def callee(name: str, *steps: StepPlan, version: int = 1, **fields: Any) -> FlowPlan:
    """A flow that others run; its result is typed by its steps, unless `outputs` and `result` say otherwise."""
    return replace(flow(*steps, **{"source": f"flows/{name}.yaml", **fields}), name=name, version=version)


def call(name: str, flow: FlowPlan, config: Mapping[str, Any] | None = None, **fields: Any) -> StepPlan:
    """A step that runs a flow."""
    ref = FlowRef(flow.name, flow.version)
    return step(name, config=dict(config or {}), executor="", output=flow.result, flow=ref, **fields)


def program(plan: FlowPlan, *callees: FlowPlan) -> Program:
    """The plan with the flows that it runs; each may run those before it."""
    known: dict[FlowRef, Program] = {}
    for one in (*callees, plan):
        below = {step.flow: known[step.flow] for step in one.steps if step.flow is not None}
        made = Program(one, TemplateEngine(one), below)
        known[FlowRef(one.name, one.version)] = made
    return made


def _steps_read(value: Any) -> list[str]:
    match value:
        case str():
            return list(parse_template(value).steps)
        case dict():
            return [name for inner in value.values() for name in _steps_read(inner)]
        case list() | tuple():
            return [name for inner in value for name in _steps_read(inner)]
        case _:
            return []
