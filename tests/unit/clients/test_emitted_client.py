"""The text of the generated client: committed goldens, and the laws that every flow's must keep."""

from __future__ import annotations

import ast
import inspect
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.unit.clients.sample import PACKAGE, ROOT, Sample, sample_plan

from promptflow_client import PromptFlowBase
from promptflow_codegen.emit.python_client import CALL_PARAMETERS, emit_clients
from promptflow_codegen.emit.python_index import CLIENT_ATTRIBUTES
from promptflow_codegen.plan import FlowPlan, FlowRef, StepPlan
from promptflow_core.types import EnumType, FieldType, Kind, ListType, MapType, ObjectType, scalar

GOLDEN = Path(__file__).parent / "golden"
TEXT = scalar(Kind.STRING)


def sentiment_plan() -> FlowPlan:
    """The plan of flows/sentiment_analysis.yaml."""
    fields = (
        FieldType("label", TEXT, required=True),
        FieldType("confidence", scalar(Kind.NUMBER), required=True),
        FieldType("scores", MapType(scalar(Kind.NUMBER)), required=True),
    )
    output = ObjectType(fields, name="SentimentOutput", description="Negative or positive.")
    return flow("sentiment_analysis", inputs=[FieldType("text", TEXT, required=True)], output=output)


def flow(
    name: str, version: int = 1, *, inputs: list[FieldType] | None = None, output: ObjectType | None = None
) -> FlowPlan:
    """A flow of one step."""
    output = output or ObjectType((FieldType("text", TEXT),))
    step = StepPlan("analyze", "sentiment_analyzer", "sentiment", output)
    package = f"promptflow_api.flows.{name}.v{version}"
    result = ObjectType((FieldType("analyze", output),))
    return FlowPlan(name, version, package, "Service", ObjectType(tuple(inputs or ())), (step,), result)


@pytest.mark.parametrize("plan", [sentiment_plan(), sample_plan()], ids=lambda plan: str(plan.name))
def test_the_client_reads_as_committed(plan: FlowPlan) -> None:
    for path, text in emit_clients([plan]).items():
        if text:
            what = "flow" if "/v1/" in path else "index"
            golden = GOLDEN / plan.name / f"{what}{'_sync' if path.endswith('/sync.py') else ''}.py.txt"
            if os.environ.get("UPDATE_GOLDEN"):
                golden.parent.mkdir(parents=True, exist_ok=True)
                golden.write_text(text, "utf-8")
            assert golden.read_text("utf-8") == text, f"{path} changed; UPDATE_GOLDEN=1 writes it anew"


def test_the_order_of_plans_changes_nothing() -> None:
    plans = [flow("b"), flow("a", 2), flow("a")]
    assert emit_clients(plans) == emit_clients(plans[::-1])
    assert list(emit_clients(plans)) == sorted(emit_clients(plans))


def test_the_latest_version_has_the_flows_name() -> None:
    index = emit_clients([flow("a", 1), flow("a", 10), flow("a", 9), flow("b")])["promptflow_api/client.py"]
    (promptflow,) = [node for node in ast.parse(index).body if isinstance(node, ast.ClassDef)]
    methods = [node for node in promptflow.body if isinstance(node, ast.FunctionDef) and node.returns]
    attributes = {node.name: ast.unparse(node.returns) for node in methods if node.returns}
    assert attributes == {
        "a": "_a_v10.AClient",
        "a_v1": "_a_v1.AClient",
        "a_v9": "_a_v9.AClient",
        "b": "_b_v1.BClient",
    }


def test_a_flow_called_as_an_older_version_of_another_takes_nothing_from_it() -> None:
    index = emit_clients([flow("a", 1), flow("a", 2), flow("a_v1")])["promptflow_api/client.py"]
    assert "def a_v1(self) -> _a_v1_v1.AV1Client:" in index
    assert "def a_v1_(self) -> _a_v1.AClient:" in index


AWKWARD = [
    *(
        "class",
        "import",
        "none",
        "str",
        "int",
        "float",
        "bool",
        "bytes",
        "dict",
        "tuple",
        "field",
        "datetime",
        "timedelta",
    ),
    *("self", "timeout", "options", "list", "type", "id", "match", "dataclass", "cls", "inputs", "super"),
]


def awkward_plan() -> FlowPlan:
    """A flow whose every name means something to Python or to the generated module."""
    person = ObjectType(tuple(FieldType(name, TEXT) for name in AWKWARD))
    fields = [FieldType(name, TEXT) for name in AWKWARD if name not in ("timeout", "options")]
    fields += [
        FieldType("result", ObjectType((FieldType("value", person),))),
        FieldType("steps", EnumType(("Result", "None"))),
        FieldType("dates", MapType(scalar(Kind.TIMESTAMP))),
        FieldType("waits", ListType(scalar(Kind.DURATION))),
    ]
    output = ObjectType(tuple(fields), name="Weird", description='It says """no""" \\ and ends in "quotes"')
    steps = tuple(StepPlan(name, "result", None, output) for name in ("class", "str", "self", "step"))
    result = ObjectType((FieldType("class", output), FieldType("client", output), FieldType("steps", person)))
    return FlowPlan(
        "result",
        1,
        "promptflow_api.flows.result.v1",
        "ResultService",
        ObjectType((*fields, FieldType("timeout", TEXT), FieldType("options", TEXT))),
        steps,
        result,
        outputs={"class": "", "client": "", "steps": ""},
        description="\x1b[31m a\nb " + "long " * 60,
    )


def wide_plan() -> FlowPlan:
    """A flow whose lines do not fit."""
    values = EnumType(tuple(f"value_number_{number}" for number in range(20)))
    fields = tuple(FieldType(f"quite_a_long_name_of_{letter}", values) for letter in "abcdefghijkl")
    objects = FieldType("m" * 30, MapType(ObjectType(fields, name="N" * 25)))
    return flow("wide", inputs=[*fields, objects], output=ObjectType((*fields, objects)))


PLANS = [
    sentiment_plan(),
    sample_plan(),
    awkward_plan(),
    wide_plan(),
    flow("flow"),
    flow("close"),
    flow("cached_property"),
]


@pytest.fixture(scope="module")
def emitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The clients of all plans above, with stand-ins for their messages."""
    folder = tmp_path_factory.mktemp("emitted")
    for path, text in emit_clients(PLANS).items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, "utf-8")
    for plan in PLANS:
        stub = folder / plan.package.replace(".", "/") / f"{plan.name}_pb2.pyi"
        stub.write_text("from google.protobuf.descriptor import FileDescriptor\n\nDESCRIPTOR: FileDescriptor\n")
    return folder


@pytest.mark.parametrize(
    "command",
    [
        ["ruff", "format", "--check", "--line-length", "120", "--isolated"],
        ["ruff", "check", "--line-length", "120", "--isolated", "--select", "E4,E7,E9,F,I,UP,RUF100"],
    ],
    ids=["formatted", "linted"],
)
def test_emitted_clients_pass_ruff(emitted: Path, command: list[str]) -> None:
    check = subprocess.run(
        [sys.executable, "-m", *command, str(emitted)], capture_output=True, text=True, timeout=30, check=False
    )
    assert check.returncode == 0, check.stdout + check.stderr


USAGE = """
from promptflow_api.client import PromptFlow
from promptflow_client import Done, StepCompleted, StepProgress
from promptflow_api.flows.sentiment_analysis.v1.client import SentimentAnalyzerOutput
from promptflow_client import ExecutionStatus, PlanDecision, PromptFlowError
from sample_api.client import PromptFlow as Samples
from sample_api.sync import PromptFlow as BlockingSamples

async def main() -> str:
    async with PromptFlow("localhost:50051") as pf:
        result = await pf.sentiment_analysis.run(text="I love this!")
        handle = await pf.sentiment_analysis.start(text="later", timeout=5)
        async for event in handle.events(after=3):
            match event:
                case StepCompleted(step="analyze", output=SentimentAnalyzerOutput(label=label)):
                    print(label.upper())
                case StepProgress(percentage=percentage):
                    print(percentage + 1)
                case Done(execution=execution) if execution.result is not None:
                    print(execution.result.analyze.confidence + 1)
                case _:
                    pass
        await pf.close_.run()
        return result.analyze.label

async def samples() -> None:
    async with Samples("localhost:50051") as pf:
        json = {"a": [1]}
        result = await pf.sample.run(text="x", count=1, page=b"", color="red", tags=["a"], class_="c", anything=json)
        print(result.echo.text + "", result.each[0].str_, result.maybe.text if result.maybe else None)
        outcomes = await pf.sample.run_batch([{"text": "x", "count": 1, "class_": "c"}, {"text": "y", "count": 2}])
        print([found.message if isinstance(found, PromptFlowError) else found.echo.text for found in outcomes])
        plan = await pf.sample.plan(text="x", count=1)
        print(plan.steps[0].decision is PlanDecision.RUNS)
        print([execution.execution_id + "" async for execution in pf.executions(status=ExecutionStatus.FAILED)])
        {wrong}

def blocking() -> str:
    with BlockingSamples("localhost:50051") as pf:
        result = pf.sample.run(text="x", count=1)
        with pf.sample.stream(text="x", count=1) as events:
            for event in events:
                match event:
                    case Done(execution=execution) if execution.result is not None:
                        print(execution.result.echo.text + "")
                    case _:
                        print(event.sequence + 1)
        handle = pf.sample.start(text="x", count=1)
        steps = handle.status(read_mask=["steps"]).steps
        print(steps.echo.output.text if steps.echo.output else handle.execution_id + "")
        {blocking}
        return result.echo.text or ""
"""
WRONG_BLOCKING = {
    "an input that is missing": ("pf.sample.run(text='x')", "count"),
    "an await": ("print(pf.sample.run(text='x', count=1).__await__)", "__await__"),
    "an input of a batch that is missing": ("pf.sample.run_batch([{'text': 'x'}])", "count"),
    "a field that does not exist": ("print(handle.result().ecko)", "ecko"),
}
WRONG = {
    "nothing": ("pass", ""),
    "an input that is missing": ("await pf.sample.run(text='x')", "count"),
    "an input that does not exist": ("await pf.sample.run(text='x', count=1, colour='red')", "colour"),
    "a value that does not exist": ("await pf.sample.run(text='x', count=1, color='blue')", "color"),
    "a field that does not exist": ("print(result.ecko)", "ecko"),
    "a result that may be absent": ("print(result.maybe.text)", "union-attr"),
}


@pytest.mark.timeout(120)
def test_emitted_clients_are_typed_strictly(emitted: Path, tmp_path: Path) -> None:
    wrongs = [(wrong, "pass", expected) for wrong, expected in WRONG.values()]
    wrongs += [("pass", wrong, expected) for wrong, expected in WRONG_BLOCKING.values()]
    for number, (wrong, blocking, _) in enumerate(wrongs):
        (tmp_path / f"usage{number}.py").write_text(USAGE.replace("{wrong}", wrong).replace("{blocking}", blocking))
    (tmp_path / "mypy.ini").write_text(
        "[mypy]\nstrict = true\nnamespace_packages = true\nexplicit_package_bases = true\n"
    )
    environment = {**os.environ, "MYPYPATH": os.pathsep.join([str(emitted), str(ROOT / "clients/python")])}
    command = [sys.executable, "-m", "mypy", "--config-file", str(tmp_path / "mypy.ini"), str(emitted), str(tmp_path)]
    check = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False, env=environment)
    found = [line for line in check.stdout.splitlines() if ": error: " in line]
    assert len(found) == len(wrongs) - 1, check.stdout
    for number, (_, _, expected) in enumerate(wrongs):
        lines = [line for line in found if f"usage{number}.py" in line]
        assert all(expected in line for line in lines), lines
        assert len(lines) == (1 if expected else 0)


@pytest.mark.timeout(120)
def test_a_program_that_uses_the_emitted_clients_is_strict_to_pyright(emitted: Path, tmp_path: Path) -> None:
    (tmp_path / "usage.py").write_text(USAGE.replace("{wrong}", "pass").replace("{blocking}", "pass"))
    (tmp_path / "wrong.py").write_text(USAGE.replace("{wrong}", "pass").replace("{blocking}", "print(result.ecko)"))
    settings = {
        "include": ["usage.py", "wrong.py"],
        "typeCheckingMode": "strict",
        "pythonVersion": "3.11",
        "extraPaths": [str(emitted), str(ROOT / "clients/python")],
    }
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings))
    command = [sys.executable, "-m", "basedpyright", "--outputjson", "--pythonpath", sys.executable]
    check = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False, cwd=tmp_path)
    found = [
        (Path(each["file"]).name, each["message"].split("\n")[0])
        for each in json.loads(check.stdout)["generalDiagnostics"]
        if each["severity"] == "error"
    ]
    assert {name for name, _ in found} == {"wrong.py"}, found
    assert any("ecko" in message for _, message in found)


def test_awkward_names_reach_the_wire_as_they_are_written(sample: Sample) -> None:
    parameters = inspect.signature(sample.client.SampleClient.run).parameters
    assert {"class_", "timeout_", *CALL_PARAMETERS} < set(parameters)
    text = emit_clients([sample_plan()])[f"{PACKAGE.replace('.', '/')}/client.py"]
    assert '"class": class_,' in text
    assert '"timeout": timeout_,' in text


def test_names_that_the_runtime_takes_are_known_to_the_generator() -> None:
    public = {name for name in dir(PromptFlowBase("x:1")) if not name.startswith("_")}
    assert public <= set(CLIENT_ATTRIBUTES)


def test_a_step_after_a_skippable_one_may_be_absent() -> None:
    output = ObjectType((FieldType("text", TEXT),))
    first = StepPlan("first", "transform", None, output, condition="{{ x }}")
    second = replace(first, name="second", condition=None, needs=("first",))
    other = replace(first, name="other", condition=None)
    plan = replace(flow("a"), steps=(first, second, other))
    text = emit_clients([plan])["promptflow_api/flows/a/v1/client.py"]
    lines = [line.strip() for line in text.splitlines()]
    assert "first: FirstOutput | None = None" in lines
    assert "second: SecondOutput | None = None" in lines
    assert "other: OtherOutput" in lines


def test_a_step_that_runs_a_flow_has_that_flows_result() -> None:
    callee = flow("inner", 2)
    calls = tuple(
        StepPlan(name, "", None, callee.result, flow=FlowRef("inner", 2), for_each=each)
        for name, each in (("call", None), ("calls", "{{ inputs.x }}"))
    )
    own = StepPlan("own", "transform", None, ObjectType((FieldType("text", TEXT),)))
    plan = replace(flow("outer"), steps=(*calls, own))
    text = emit_clients([plan, callee])["promptflow_api/flows/outer/v1/client.py"]
    lines = [line.strip() for line in text.splitlines()]
    assert "from ...inner.v2.client import Result as InnerV2Result" in lines
    assert {"call: InnerV2Result", "calls: tuple[InnerV2Result, ...] = ()"} < set(lines)
    assert {"call: Step[InnerV2Result]", "calls: ForEachStep[InnerV2Result]", "own: Step[OwnOutput]"} < set(lines)
    assert "StepValue: TypeAlias = InnerV2Result | OwnOutput" in lines
    assert "class InnerV2Result" not in text


def any_of(plan: FlowPlan) -> Any:
    """The module of a plan, parsed."""
    return ast.parse(emit_clients([plan])[f"{plan.package.replace('.', '/')}/client.py"])


def test_a_module_declares_no_name_twice() -> None:
    for plan in PLANS:
        names = [node.name for node in any_of(plan).body if isinstance(node, ast.ClassDef)]
        assert len(names) == len(set(names)), plan.name
