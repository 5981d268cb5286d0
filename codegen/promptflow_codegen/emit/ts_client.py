"""The typed TypeScript client of every flow, as text: types, and a class over the runtime `promptflow-grpc-client`.

A flow's module knows names and types alone; how they meet the wire is the runtime's, which reads descriptors. The
modules of messages are protoc-gen-es's, see `ts_stubs`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from posixpath import relpath

from google.protobuf.descriptor_pb2 import FileDescriptorSet

from promptflow_codegen.emit.client_model import (
    GENERATED,
    Direction,
    client_members,
    client_root,
    skippable,
    sorted_plans,
)
from promptflow_codegen.emit.ts_stubs import RUNTIME
from promptflow_codegen.emit.ts_types import (
    Declarations,
    Messages,
    braced,
    comment,
    promised_lines,
    property_name,
)
from promptflow_codegen.naming import camel
from promptflow_codegen.plan import FlowPlan, StepPlan
from promptflow_core.types import FieldType, ListType, ObjectType

CLIENT_MEMBERS = frozenset({"close", "connection", "executions", "flows"})
"""What `PromptFlow` has beside the flows; a flow of such a name ends in `$` there."""

_OWN = ("Event", "Execution", "Handle", "Inputs", "Result", "StepOutputs", "Steps")
_RUNTIME = ("Duration", "FileSource", "FlowFile", "ForEachStep", "JsonValue", "Promised", "Step", "Timestamp")
_TAKEN = frozenset(
    {
        *_OWN,
        *_RUNTIME,
        *("FlowClient", "PromptFlowBase", "RunEvent", "RunExecution", "RunHandle", "promised", "service"),
        # A type of such a name would hide what the module means by it.
        *("Date", "Readonly", "Record", "Uint8Array"),
    }
)


def emit_ts(descriptors: FileDescriptorSet, plans: Sequence[FlowPlan], package: str) -> Mapping[str, str]:
    """Every module of the typed client, by its path in the folder of sources, sorted.

    `descriptors` has the files of all flows; `plans` may hold several major versions of a flow, of which the latest has
    the flow's name in `PromptFlow`. `package` is that of all flows.
    """
    messages = Messages(descriptors)
    ordered = sorted_plans(plans)
    types = {plan.package: _declare(plan, messages) for plan in ordered}
    files = {module_path(plan): _flow_module(plan, types) for plan in ordered}
    if ordered:
        folder = client_root(package).replace(".", "/")
        files[f"{folder}/client.ts"] = _index_module(folder, ordered)
    return dict(sorted(files.items()))


def module_path(plan: FlowPlan) -> str:
    """The module of one flow."""
    return f"{plan.package.replace('.', '/')}/client.ts"


def client_name(plan: FlowPlan) -> str:
    """The class of one flow."""
    return f"{camel(plan.name)}Client"


def _flow_module(plan: FlowPlan, types_of: Mapping[str, Declarations]) -> str:
    client, types = client_name(plan), types_of[plan.package]
    summary = comment([f"Flow `{plan.name}`, version {plan.version}. {GENERATED}"], 0)
    about = plan.description.strip() or f"Flow `{plan.name}`, version {plan.version}."
    lines = [
        *summary,
        "",
        *_imports(plan, types_of),
        *types.lines,
        "",
        *promised_lines(types.promised),
        "",
        *comment([about], 0),
        f"export class {client} extends FlowClient<Inputs, Result, Steps, StepOutputs> {{",
        "  constructor(promptflow: PromptFlowBase) {",
        "    super(promptflow, service, promised);",
        "  }",
        "}",
    ]
    return "\n".join(lines) + "\n"


def _declare(plan: FlowPlan, messages: Messages) -> Declarations:
    """Inputs, Result, the outputs of steps, Steps, and the aliases over them."""
    types = Declarations(messages, plan.package, {*_TAKEN, client_name(plan)})
    for own, message in (("Inputs", "ExecuteRequest"), ("Result", "Result")):
        types.names.discard(own)
        if message == "Result" and plan.outputs is None:
            continue
        shape = plan.inputs if own == "Inputs" else plan.result
        direction = Direction.IN if own == "Inputs" else Direction.OUT
        summary = f"What `{plan.name}` {'takes' if own == 'Inputs' else 'answers'}."
        types.message(f"{plan.package}.{message}", ObjectType(shape.fields), summary, direction)
    types.names.add("Result")
    outputs = {step.name: _output(plan, step, types) for step in plan.steps}
    if plan.outputs is None:
        _declare_result(plan, outputs, types)
    summary = "The steps of a run: a view, outside the promise of `Result`."
    types.interface("Steps", summary, [_step_line(step, outputs[step.name], types) for step in plan.steps])
    entries = [f"  readonly {step.name}: {outputs[step.name]};" for step in plan.steps]
    types.interface("StepOutputs", "What each step answers, by the step's name in events.", entries)
    types.lines += ["", "export type Execution = RunExecution<Result, Steps>;"]
    types.lines += ["export type Event = RunEvent<Execution, StepOutputs>;"]
    types.lines += ["export type Handle = RunHandle<Result, Steps, StepOutputs>;"]
    return types


def _output(plan: FlowPlan, step: StepPlan, types: Declarations) -> str:
    message = types.messages.type_of(f"{plan.package}.StepValue", step.name)
    return types.message(message, step.output, f"What step `{step.name}` answers.", Direction.OUT)


def _declare_result(plan: FlowPlan, outputs: Mapping[str, str], types: Declarations) -> None:
    sometimes = skippable(plan)
    lines: list[str] = []
    fields: list[FieldType] = []
    for step in plan.steps:
        name, output = property_name(step.name), outputs[step.name]
        is_there = step.for_each is None and step.name not in sometimes
        fields.append(FieldType(step.name, step.output if step.for_each is None else ListType(step.output), is_there))
        lines += comment([step.description], 2)
        if step.for_each is not None:
            lines.append(f"  readonly {name}: readonly {output}[];")
        else:
            lines.append(f"  readonly {name}{'' if is_there else '?'}: {output};")
    types.declared[f"{plan.package}.Result"] = "Result"
    types.interface("Result", f"What `{plan.name}` answers.", lines)
    types.promise(f"{plan.package}.Result", ObjectType(tuple(fields)))


def _step_line(step: StepPlan, output: str, types: Declarations) -> str:
    generic = "Step" if step.for_each is None else "ForEachStep"
    types.used.add(generic)
    return f"  readonly {property_name(step.name)}: {generic}<{output}>;"


def _imports(plan: FlowPlan, types_of: Mapping[str, Declarations]) -> list[str]:
    types = types_of[plan.package]
    aliases = ("Event as RunEvent", "Execution as RunExecution", "Handle as RunHandle")
    used = {"Promised", *(types.used & set(_RUNTIME))}
    names = sorted([*aliases, *used, "PromptFlowBase"], key=str.casefold)
    lines = [f'import {{ FlowClient }} from "{RUNTIME}";']
    lines += braced("import type ", names, f' from "{RUNTIME}";')
    by_module: dict[str, list[str]] = {}
    here = plan.package.replace(".", "/")
    for full_name, name in types.foreign.items():
        package = types.messages.package(full_name)
        there = relpath(f"{package.replace('.', '/')}/client.js", here)
        own = types_of[package].declared[full_name]
        by_module.setdefault(there, []).append(own if own == name else f"{own} as {name}")
    for there in sorted(by_module):
        lines += braced("import type ", sorted(by_module[there]), f' from "{there}";')
    return [*lines, f'import {{ {plan.service} as service }} from "./{plan.name}_pb.js";']


def _index_module(folder: str, plans: Sequence[FlowPlan]) -> str:
    properties = client_members(plans, _property, CLIENT_MEMBERS, "$")
    lines = [*comment([f"One client for all flows. {GENERATED}"], 0), ""]
    lines += [f'import {{ PromptFlowBase }} from "{RUNTIME}";']
    for plan in plans:
        path = relpath(module_path(plan), folder).removesuffix(".ts")
        there = path if path.startswith(".") else f"./{path}"
        lines.append(f'import {{ {client_name(plan)} as {_alias(plan)} }} from "{there}.js";')
    summary = "One PromptFlow at one address; a property per flow, of the flow's latest version."
    lines += ["", *comment([summary], 0), "export class PromptFlow extends PromptFlowBase {"]
    for plan in plans:
        about = f"Flow `{plan.name}`, version {plan.version}. {plan.description}"
        lines += comment([about], 2)
        lines += [f"  readonly {properties[plan.name, plan.version]} = new {_alias(plan)}(this);"]
    return "\n".join([*lines, "}"]) + "\n"


def _alias(plan: FlowPlan) -> str:
    """As no other class is called, whatever the flows are: names of flows have no `$`."""
    return f"{client_name(plan)}$V{plan.version}"


def _property(name: str, version: int | None) -> str:
    return property_name(name) + ("" if version is None else f"V{version}")


def property_of(plan: FlowPlan) -> str:
    """The property of `PromptFlow` that the latest version of a flow has."""
    name = property_name(plan.name)
    return f"{name}$" if name in CLIENT_MEMBERS else name
