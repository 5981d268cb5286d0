"""The typed Go client of every flow, as text: structs and constants over the runtime package `promptflow`.

A flow's package knows names and types alone; how they meet the wire is the runtime's, which reads descriptors. The
struct tag `promptflow:"…"` names the message's field; no field number and no name of a generated message is repeated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from promptflow_codegen.emit.client_model import output_type, skippable, sorted_plans
from promptflow_codegen.emit.go_names import (
    RUNTIME_MODULE,
    facade_folder,
    facade_package,
    stub_import,
)
from promptflow_codegen.emit.go_types import Declarations, StructField, aligned, comment, output_name, package_clause
from promptflow_codegen.naming import camel
from promptflow_codegen.plan import FlowPlan, FlowRef, StepPlan

_OF_RUN = ("Accepted", "Started", "Done")
_OF_STEP = ("StepStarted", "StepProgress", "StepOutput", "StepCompleted", "StepFailed", "StepRetrying", "StepSkipped")
_GENERIC = ("Execution", "Handle", "Outcome")
_TAKEN = frozenset({"Client", "New", "Inputs", "Result", "Steps", "Event", *_OF_RUN, *_OF_STEP, *_GENERIC})
"""Names that every package has."""


def emit_go(plans: Sequence[FlowPlan], module: str = RUNTIME_MODULE) -> Mapping[str, str]:
    """The typed client of each flow, by path below the root of the Go module at import path `module`, sorted.

    Pure, and needs no Go. The messages that it imports are those of `go_stubs`, for the same `module`.
    """
    files = {f"{facade_folder(plan)}/client.go": _flow_file(plan, module) for plan in sorted_plans(plans)}
    return dict(sorted(files.items()))


def _flow_file(plan: FlowPlan, module: str) -> str:
    types = Declarations(set(_TAKEN))
    inputs = types.fields(plan.inputs.fields, "Input")
    types.struct("Inputs", f"Inputs are what {plan.name} takes. {_ABOUT_INPUTS}" if inputs else _NO_INPUTS, inputs)
    _declare_outputs(plan, types)
    types.add(_aliases())
    types.add(_constructor(plan))
    about = comment(f"Package {facade_package(plan.name)} runs the flow {plan.name}, version {plan.version}.", "")
    if plan.description.strip():
        about += ["//", *comment(plan.description, "About")]
    lines = [*package_clause(about, facade_package(plan.name)), "", *_imports(plan, types, module), "", *types.lines]
    return "\n".join(lines) + "\n"


_NO_INPUTS = "Inputs are none: the flow takes nothing."
_ABOUT_INPUTS = 'What is nil is absent, as is an enum that is "" and a time that is zero.'


def _declare_outputs(plan: FlowPlan, types: Declarations) -> None:
    """Result, the outputs of steps, Steps."""
    about = f"Result is what {plan.name} answers."
    if plan.outputs is not None:
        types.struct("Result", about, types.fields(plan.result.fields, "Result"))
    outputs: dict[str, str] = {}
    named: dict[str, str] = {}
    for step in plan.steps:
        if step.flow is not None:
            outputs[step.name] = f"{_alias(step.flow)}.Result"
            continue
        wanted = output_type(step)
        if wanted not in named:
            name = named[wanted] = types.name(output_name(wanted, _TAKEN))
            fields = types.fields(step.output.fields, name)
            types.struct(name, step.output.description or f"{name} is what step {step.name} answers.", fields)
        outputs[step.name] = named[wanted]
    if plan.outputs is None:
        sometimes = skippable(plan)
        fields = [_result_field(step, outputs[step.name], may_be_skipped=step.name in sometimes) for step in plan.steps]
        types.struct("Result", about, fields)
    steps = [StructField(camel(step.name), _step_type(step, outputs[step.name]), step.name) for step in plan.steps]
    types.struct("Steps", "Steps are the steps of a run: a view, outside the promise of Result.", steps)


def _result_field(step: StepPlan, output: str, *, may_be_skipped: bool) -> StructField:
    prefix = "[]" if step.for_each is not None else "*" if may_be_skipped else ""
    return StructField(camel(step.name), prefix + output, step.name)


def _step_type(step: StepPlan, output: str) -> str:
    return f"promptflow.{'Step' if step.for_each is None else 'ForEachStep'}[{output}]"


def _aliases() -> list[str]:
    lines = ["// What the runtime's types are for this flow.", "type ("]
    rows = [("Client", "= promptflow.Client[Inputs, Result, Steps]")]
    rows += [(name, f"= promptflow.{name}[Result, Steps]") for name in (*_GENERIC, *_OF_RUN)]
    rows += [(name, f"= promptflow.{name}") for name in ("Event", *_OF_STEP)]
    return [*lines, *(f"\t{row}" for row in aligned(rows)), ")"]


def _constructor(plan: FlowPlan) -> list[str]:
    call = f'"{plan.package}.{plan.service.rpartition(".")[2]}", "{plan.name}", {plan.version}'
    return [
        *comment("New is the client of the flow over a connection.", "New"),
        "func New(conn *promptflow.Conn) *Client {",
        f"\treturn promptflow.NewClient[Inputs, Result, Steps](conn, {call})",
        "}",
    ]


def _imports(plan: FlowPlan, types: Declarations, module: str) -> list[str]:
    path = f"{plan.package.replace('.', '/')}/{plan.name}.proto"
    standard = ['\t"time"', ""] if types.uses_time else []
    flows = [step.flow for step in plan.steps if step.flow is not None]
    called = sorted({f'\t{_alias(flow)} "{module}/{facade_folder(flow)}"' for flow in flows})
    ours = [f'\t"{RUNTIME_MODULE}/promptflow"', "", *called, *([""] if called else [])]
    messages = ["\t// The messages register themselves.", f'\t_ "{stub_import(path, module)}"']
    return ["import (", *standard, *ours, *messages, ")"]


def _alias(flow: FlowRef) -> str:
    """What another flow's package is called here; the version's digits keep it from being a word of Go."""
    return f"{flow.name}V{flow.version}".replace("_", "")
