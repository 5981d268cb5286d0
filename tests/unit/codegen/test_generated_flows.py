"""Laws of generation: a flow that passes the check compiles, says what its model says, and is read back as it was."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.codegen.pipeline import check, flow_text, number
from tests.unit.codegen.root import ROOT

from promptflow_codegen.bundle import Bundle, load_bundle
from promptflow_codegen.compile import compile_descriptors
from promptflow_codegen.diagnostics import Report
from promptflow_codegen.emit.proto import emit_proto
from promptflow_codegen.emit.python_client import emit_clients
from promptflow_codegen.lock_file import parse_lock, print_lock
from promptflow_codegen.lower import lower_flow
from promptflow_codegen.model import Message
from promptflow_codegen.naming import folded
from promptflow_codegen.project import Project
from promptflow_codegen.write import save_bundle
from promptflow_core.executor import Catalog

WORDS = (
    "a class def enum event execution false float from google import in index input inputs int item items json keys "
    "lambda list map message none number on option optional output package repeated request required reserved result "
    "returns rpc self service state status steps string syntax system text to true type update value values word x_y"
)
VALUES = ("a", "On", "no", "None", "message", "string", "syntax", "repeated", "x1", "A_B", "values", "true_false")
SCALARS = ("string", "integer", "int32", "number", "boolean", "bytes", "file", "timestamp", "duration", "json")


def distinct(names: list[str]) -> list[str]:
    return list({folded(name): name for name in names}.values())


names = st.lists(st.sampled_from(WORDS.split()), min_size=1, max_size=5).map(distinct)
texts = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc", "Cn")), max_size=12)
CONSTRAINTS: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "string": st.fixed_dictionaries(
        {}, optional={"max_length": st.integers(5, 9), "values": st.lists(texts, min_size=1)}
    ),
    "integer": st.fixed_dictionaries({}, optional={"min": st.integers(-9, 0), "max": st.integers(1, 2**40)}),
    "number": st.fixed_dictionaries({}, optional={"min": st.floats(-1e30, 0), "max": st.floats(1e-30, 1e30)}),
    "file": st.fixed_dictionaries({}, optional={"max_bytes": st.integers(1, 10**9)}),
}


@st.composite
def fields(draw: st.DrawFn, depth: int = 0) -> list[dict[str, Any]]:
    """Fields of an input or an output, inside each other up to three levels."""
    return [draw(field(name, depth)) for name in draw(names)]


@st.composite
def field(draw: st.DrawFn, name: str, depth: int) -> dict[str, Any]:
    kind = draw(st.sampled_from((*SCALARS, "enum", *(["object"] if depth < 2 else []))))
    wrapped = draw(st.sampled_from(("{}", "{}[]", "map<{}>")))
    found: dict[str, Any] = {"name": name, "type": wrapped.format(kind), "required": draw(st.booleans())}
    if kind == "enum":
        found["values"] = sorted(draw(st.sets(st.sampled_from(VALUES), min_size=1)))
    elif kind == "object":
        found["fields"] = draw(fields(depth + 1))
    elif wrapped == "{}" and kind in CONSTRAINTS:
        found |= draw(CONSTRAINTS[kind])
    if draw(st.booleans()):
        found["description"] = draw(texts)
    return found


@st.composite
def flows(draw: st.DrawFn) -> dict[str, Any]:
    """A flow that passes the check: inputs of any type, steps of four executors, perhaps outputs."""
    inputs = [
        *(one for one in draw(fields()) if one["name"] != "anything"),
        {"name": "anything", "type": "json", "required": True},
    ]
    steps = [draw(step(name)) for name in draw(names)]
    flow: dict[str, Any] = {"name": draw(st.sampled_from(("google", "buf", "v1", "mail_triage"))), "inputs": inputs}
    flow |= {"version": draw(st.integers(1, 3)), "description": draw(texts), "steps": steps}
    if draw(st.booleans()):
        flow["outputs"] = {name: draw(output(inputs, steps)) for name in draw(names)}
    return flow


@st.composite
def step(draw: st.DrawFn, name: str) -> dict[str, Any]:
    executor = draw(st.sampled_from(("transform", "combine", "decision_maker", "sentiment_analyzer")))
    found: dict[str, Any] = {"name": name, "executor": executor, "config": draw(config(executor))}
    if draw(st.booleans()):
        found["for_each"] = "{{ [1, 2] }}"
    return found


@st.composite
def config(draw: st.DrawFn, executor: str) -> dict[str, Any]:
    match executor:
        case "transform":
            declared = draw(field("value", 1))
            return {key: declared[key] for key in ("type", "fields", "values") if key in declared} | {
                "value": "{{ inputs.anything }}"
            }
        case "combine":
            keys = ("name", "type", "fields", "values")
            declared_fields = draw(fields(1))
            return {
                "fields": [
                    {key: one[key] for key in keys if key in one} | {"value": "{{ inputs.anything }}"}
                    for one in declared_fields
                ]
            }
        case "decision_maker":
            values = sorted(draw(st.sets(st.sampled_from(VALUES), min_size=1)))
            return {"rules": [{"when": "{{ true }}", "path": value} for value in values]}
        case _:
            return {"text": draw(texts.filter(lambda text: "{" not in text))}


def output(inputs: list[dict[str, Any]], steps: list[dict[str, Any]]) -> st.SearchStrategy[str]:
    paths = [f"inputs.{one['name']}" for one in inputs] + [f"steps.{one['name']}" for one in steps]
    return st.sampled_from([f"{{{{ {path} }}}}" for path in paths])


@pytest.fixture(scope="module")
def contract() -> dict[str, str]:
    return dict(Project.at(ROOT).contract_protos())


@given(flow=flows())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_every_flow_that_passes_the_check_compiles_and_is_read_back(
    flow: dict[str, Any], catalog: Catalog, contract: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    checked = check(flow_text(flow), catalog)
    file, lock = number(checked)
    files = compile_descriptors({**contract, file.path: emit_proto(file)})
    (compiled,) = (one for one in files.file if one.name == file.path)
    assert facts_of_descriptors(compiled) == set(facts_of_model(file.messages, ""))
    plan = lower_flow(checked)
    for path, text in emit_clients([plan]).items():
        ast.parse(text, path)
    report_lock = print_lock(lock)
    assert number(checked, lock) == (file, lock)
    assert parse_lock(report_lock.encode(), flow=plan.name, version=plan.version, report=Report("x.lock.yaml")) == lock
    folder: Path = tmp_path_factory.mktemp("bundle")
    bundle = Bundle.of(files.SerializeToString(deterministic=True), (plan,))
    save_bundle(bundle, folder)
    assert load_bundle(folder) == bundle


def facts_of_model(messages: tuple[Message, ...], owner: str) -> Iterator[tuple[str, int]]:
    for message in messages:
        path = f"{owner}.{message.name}"
        yield path, 0
        yield from ((f"{path}.{one.name}", one.number) for one in message.fields)
        for enum in message.enums:
            yield from ((f"{path}.{enum.name}.{value.name}", value.number) for value in enum.values)
        yield from facts_of_model(message.messages, path)


def facts_of_descriptors(file: FileDescriptorProto) -> set[tuple[str, int]]:
    found: set[tuple[str, int]] = set()

    def walk(message: DescriptorProto, owner: str) -> None:
        if message.options.map_entry:
            return
        path = f"{owner}.{message.name}"
        found.add((path, 0))
        found.update((f"{path}.{one.name}", one.number) for one in message.field)
        for enum in message.enum_type:
            found.update((f"{path}.{enum.name}.{value.name}", value.number) for value in enum.value if value.number)
        for nested in message.nested_type:
            walk(nested, path)

    for message in file.message_type:
        walk(message, "")
    return found
