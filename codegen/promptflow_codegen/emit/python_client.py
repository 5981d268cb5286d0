"""The typed Python client of every flow, as text: dataclasses and methods over the runtime `promptflow_client`.

A flow's module knows names and types alone; how they meet the wire is the runtime's, which reads descriptors. So no
message name and no field number is repeated here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from promptflow_codegen.emit.client_model import (
    GENERATED,
    Direction,
    bound_phrases,
    client_root,
    output_type,
    skippable,
    sorted_plans,
)
from promptflow_codegen.emit.python_index import client_name, index_module
from promptflow_codegen.emit.python_sync import emit_sync_flow
from promptflow_codegen.emit.python_types import (
    WIDTH,
    Declarations,
    alternatives,
    bracketed,
    docstring,
    identifier,
    optional,
    quoted,
)
from promptflow_codegen.naming import camel
from promptflow_codegen.plan import FlowPlan, FlowRef, StepPlan
from promptflow_core.types import FieldType, spelling

CALL_PARAMETERS = ("timeout", "options")
"""Parameters that `run`, `start` and `stream` take beside the inputs."""

_RUNTIME = (
    "Contract",
    "File",
    "FileSource",
    "FlowClientBase",
    "ForEachStep",
    "Json",
    "Options",
    "Plan",
    "PromptFlowBase",
    "PromptFlowError",
    "Step",
)
_TAKEN = frozenset(
    {
        *("Event", "Execution", "Handle", "Inputs", "Result", "StepValue", "Steps", "Stream"),
        *("RunEvent", "RunExecution", "RunHandle", *_RUNTIME),
        *("AsyncGenerator", "Literal", "Mapping", "NotRequired", "Sequence", "TypeAlias", "TypedDict"),
    }
)
"""Names that every module has, its own and the imported ones. None ends in `Client`, as the client's own name does."""


def emit_clients(plans: Sequence[FlowPlan]) -> Mapping[str, str]:
    """Every file of the typed client, by its path below the folder of Python packages, sorted.

    `plans` may hold several major versions of a flow; the latest has the flow's name in `PromptFlow`.
    """
    files: dict[str, str] = {}
    by_package: dict[str, list[FlowPlan]] = {}
    for plan in sorted_plans(plans):
        folder = plan.package.replace(".", "/")
        text = files[f"{folder}/client.py"] = _flow_module(plan)
        files[f"{folder}/sync.py"] = emit_sync_flow(text)
        by_package.setdefault(plan.package.removesuffix(f".{plan.name}.v{plan.version}"), []).append(plan)
    for package, members in by_package.items():
        folder = client_root(package).replace(".", "/")
        files[f"{folder}/client.py"] = index_module(package, members, "client")
        files[f"{folder}/sync.py"] = index_module(package, members, "sync")
        files[f"{folder}/py.typed"] = ""
    return dict(sorted(files.items()))


def _flow_module(plan: FlowPlan) -> str:
    client = client_name(plan)
    types = Declarations({*_TAKEN, client})
    called = dict.fromkeys(step.flow for step in plan.steps if step.flow is not None)
    callees = {flow: types.name(_callee_name(flow)) for flow in called}
    inputs = [_Input(types, field) for field in plan.inputs.fields]
    _declare_inputs(plan, inputs, types)
    _declare_outputs(plan, types, callees)
    methods = _client_class(plan, client, inputs)
    summary = docstring([f"Flow `{plan.name}`, version {plan.version}. {GENERATED}"], 0)
    gap = ["", ""] if types.lines[0].startswith(("@", "class")) else [""]
    lines = [*summary, "", *_imports(plan, types, callees), *gap, *types.lines, "", "", *methods]
    return "\n".join(lines) + "\n"


class _Input:
    """One input as a parameter."""

    def __init__(self, types: Declarations, field: FieldType) -> None:
        annotation = types.annotation(field.type, "Input", field.name, Direction.IN)
        self.field = field
        self.name = identifier(field.name, ("self", *CALL_PARAMETERS))
        self.parameter = f"{self.name}: {annotation if field.required else optional(annotation) + ' = None'}"
        self.item = f"{self.name}: {annotation if field.required else f'NotRequired[{optional(annotation)}]'}"
        self.entry = f"{quoted(field.name)}: {self.name}"

    @property
    def doc(self) -> str:
        """The input's line in the docstring of `run`."""
        said = [self.field.description.rstrip(".")] if self.field.description.strip() else []
        if self.field.default is not None:
            said.append(f"default {self.field.default!r}")
        said += bound_phrases(self.field.constraints)
        return f"- {self.name}: {'; '.join(said) or spelling(self.field.type)}."


def _declare_inputs(plan: FlowPlan, inputs: Sequence[_Input], types: Declarations) -> None:
    """All inputs as one value, for calls that take several of them."""
    types.used |= {"TypedDict", "Sequence", *(["NotRequired"] if any(not one.field.required for one in inputs) else [])}
    summary = docstring([f"The inputs of `{plan.name}`, for `run_batch`."], 4)
    types.lines += ["", ""] if types.lines else []
    types.lines += ["class Inputs(TypedDict):", *summary]
    types.lines += ["", *(f"    {one.item}" for one in inputs)] if inputs else []


def _declare_outputs(plan: FlowPlan, types: Declarations, callees: Mapping[FlowRef, str]) -> None:
    """Result, the outputs of steps, Steps, and the aliases over them; what another flow answers is that flow's own."""
    classes = {step.name: callees[step.flow] if step.flow else output_type(step) for step in plan.steps}
    if plan.outputs is not None:
        _declare_result(plan, types.fields(plan.result.fields, "Result", Direction.OUT), types)
    named = {name: name for name in callees.values()}
    for step in plan.steps:
        wanted = classes[step.name]
        if wanted not in named:
            named[wanted] = types.name(wanted)
            fields = types.fields(step.output.fields, named[wanted], Direction.OUT)
            types.dataclass(
                named[wanted], step.output.description.strip() or f"What step `{step.name}` answers.", fields
            )
        classes[step.name] = named[wanted]
    if plan.outputs is None:
        sometimes = skippable(plan)
        fields = [_result_field(step, classes[step.name], may_be_skipped=step.name in sometimes) for step in plan.steps]
        _declare_result(plan, fields, types)
    types.dataclass(
        "Steps",
        "The steps of a run: a view, outside the promise of `Result`.",
        [f"    {identifier(step.name)}: {_step_annotation(step, classes[step.name], types)}" for step in plan.steps],
    )
    outputs = list(dict.fromkeys(classes.values())) or ["None"]
    types.used.add("TypeAlias")
    types.lines += ["", "", *alternatives("StepValue: TypeAlias = ", outputs)]
    types.lines += [
        "Execution: TypeAlias = RunExecution[Result, Steps]",
        "Event: TypeAlias = RunEvent[Execution, StepValue]",
    ]
    types.lines += ["Handle: TypeAlias = RunHandle[Result, Steps, StepValue]"]


def _declare_result(plan: FlowPlan, fields: Sequence[str], types: Declarations) -> None:
    types.dataclass("Result", f"What `{plan.name}` answers.", fields)


def _result_field(step: StepPlan, output: str, *, may_be_skipped: bool) -> str:
    name = identifier(step.name)
    if step.for_each is not None:
        return f"    {name}: tuple[{output}, ...] = ()"
    return f"    {name}: {output} | None = None" if may_be_skipped else f"    {name}: {output}"


def _step_annotation(step: StepPlan, output: str, types: Declarations) -> str:
    generic = "Step" if step.for_each is None else "ForEachStep"
    types.used.add(generic)
    return f"{generic}[{output}]"


def _client_class(plan: FlowPlan, name: str, inputs: Sequence[_Input]) -> list[str]:
    about = plan.description.strip() or f"Flow `{plan.name}`, version {plan.version}."
    args = ["Args:", *(one.doc for one in inputs)] if inputs else []
    run = ["Run the flow and give its result; cuts and restarts of the server on the way are borne.", *args]
    run += ["Raises:", "- PromptFlowError: the run failed, or its end cannot be learnt."]
    start = ["Start the flow and come back as soon as the run is recorded; inputs as for `run`."]
    plan_doc = ["What a run would do, step by step; nothing runs. Inputs as for `run`."]
    stream = ["Run the flow and give what happens as it happens, `Done` last; inputs as for `run`."]
    return [
        f"class {name}(FlowClientBase[Result, Steps, StepValue]):",
        *docstring([about], 4),
        "",
        "    def __init__(self, promptflow: PromptFlowBase) -> None:",
        "        super().__init__(promptflow, Contract(_messages.DESCRIPTOR, Result, Steps))",
        "",
        *_method("async def run", "Result", run, inputs, "return await self._run("),
        "",
        *_method("async def start", "Handle", start, inputs, "return await self._start("),
        "",
        *_method("def stream", "AsyncGenerator[Event, None]", stream, inputs, "return self._stream("),
        "",
        *_RUN_BATCH,
        "",
        *_method("async def plan", "Plan", plan_doc, inputs, "return await self._plan(", more=_MORE[:1]),
    ]


_MORE = ("timeout: float | None = None", "options: Options | None = None")
_RUN_BATCH = (
    "    async def run_batch(",
    "        self,",
    "        inputs: Sequence[Inputs],",
    "        *,",
    *(f"        {parameter}," for parameter in _MORE),
    "    ) -> tuple[Result | PromptFlowError, ...]:",
    *docstring(
        [
            "Run the flow once for each of `inputs`, and give what became of each, in their order.",
            "A run that fails, or whose inputs do not fit, has its error in its place.",
            "Raises:",
            "- PromptFlowError: the outcomes cannot be learnt; with the same `request_id`, no run is made again.",
        ],
        8,
    ),
    "        return await self._run_batch(inputs, timeout, options)",
)


def _method(
    head: str,
    answer: str,
    about: Sequence[str],
    inputs: Sequence[_Input],
    call: str,
    *,
    more: Sequence[str] = _MORE,
) -> list[str]:
    parameters = [*(one.parameter for one in inputs), *more]
    entries = [one.entry for one in inputs]
    given = [parameter.partition(":")[0] for parameter in more]
    body = [f"        {call}{{{', '.join(entries)}}}, {', '.join(given)})"]
    if len(body[0]) > WIDTH:
        values = [f"                {entry}," for entry in entries]
        body = [f"        {call}", "            {", *values, "            },"]
        body += [*(f"            {name}," for name in given), "        )"]
    return [
        f"    {head}(",
        "        self,",
        "        *,",
        *(f"        {parameter}," for parameter in parameters),
        f"    ) -> {answer}:",
        *docstring(about, 8),
        *body,
    ]


def _callee_name(flow: FlowRef) -> str:
    return f"{camel(flow.name)}{f'V{flow.version}' if flow.version > 1 else ''}Result"


def _imports(plan: FlowPlan, types: Declarations, callees: Mapping[FlowRef, str]) -> list[str]:
    lines = ["from __future__ import annotations", ""]
    standard = {
        "collections.abc": {"AsyncGenerator", *({"Mapping", "Sequence"} & types.used)},
        "dataclasses": {"dataclass", "field"} & types.used,
        "datetime": {"datetime", "timedelta"} & types.used,
        "typing": {"Literal", "NotRequired", "TypeAlias", "TypedDict"} & types.used,
    }
    for module, names in standard.items():
        if names:
            lines.append(f"from {module} import {', '.join(sorted(names))}")
    always = {"Contract", "FlowClientBase", "Options", "Plan", "PromptFlowBase", "PromptFlowError"}
    runtime = [name for name in _RUNTIME if name in always | types.used]
    line = f"from promptflow_client import {', '.join(runtime)}"
    lines += ["", *([line] if len(line) <= WIDTH else bracketed("from promptflow_client import (", runtime, ")"))]
    lines += [f"from promptflow_client import {name} as Run{name}" for name in ("Event", "Execution", "Handle")]
    others = [f"from ...{flow.name}.v{flow.version}.client import Result as {name}" for flow, name in callees.items()]
    return [*lines, "", *sorted(others), f"from . import {plan.name}_pb2 as _messages"]
