"""Generated Python modules stand alone: no buf, no google.api."""

from __future__ import annotations

import ast
import keyword
import subprocess
import sys
from pathlib import Path

from tests.unit.codegen.pipeline import compile_flow

from promptflow_codegen.emit.stubs import client_descriptors, emit_stubs
from promptflow_core.executor import Catalog

TEXT = """
name: a
inputs:
  - {name: text, type: string, required: true, pattern: "^x"}
  - {name: scores, type: map<number>, default: {x: 1}}
steps:
  - {name: x, executor: transform, config: {value: a}}
"""


def test_modules_are_made_for_our_own_files_and_services_where_there_are_any(catalog: Catalog) -> None:
    modules = emit_stubs(compile_flow(TEXT, catalog))
    flow = "promptflow_api/flows/a/v1/a"
    assert {path for path in modules if "/flows/" in path} == {
        f"{flow}_pb2.py",
        f"{flow}_pb2.pyi",
        f"{flow}_pb2_grpc.py",
    }
    assert "promptflow_api/v1/events_pb2.py" in modules
    assert not any(path.endswith("_pb2_grpc.py") for path in modules if "/v1/events" in path)


def test_modules_import_nothing_that_a_client_does_not_have(catalog: Catalog) -> None:
    imported = set[str]()
    for text in emit_stubs(compile_flow(TEXT, catalog)).values():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom):
                imported.add(node.module or "")
            elif isinstance(node, ast.Import):
                imported |= {name.name for name in node.names}
    assert {name for name in imported if name.split(".")[0] == "buf" or name.startswith("google.api")} == set()


def test_values_that_are_words_of_python_leave_modules_that_can_be_read(catalog: Catalog) -> None:
    values = ", ".join(word for word in keyword.kwlist if word.islower())
    text = TEXT.replace("inputs:", f"inputs:\n  - {{name: mood, type: enum, values: [{values}]}}")
    modules = emit_stubs(compile_flow(text, catalog))
    for module in modules.values():
        ast.parse(module)
    assert "VALUE_UNSPECIFIED: _ClassVar[ExecuteRequest.Mood.Value]" in modules["promptflow_api/flows/a/v1/a_pb2.pyi"]


def test_modules_work_in_a_process_of_their_own(catalog: Catalog, tmp_path: Path) -> None:
    for path, text in emit_stubs(compile_flow(TEXT, catalog)).items():
        target = tmp_path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, "utf-8")
    program = (
        "from promptflow_api.flows.a.v1 import a_pb2, a_pb2_grpc\n"
        "request = a_pb2.ExecuteRequest(text='hi', scores={'x': 1.5})\n"
        "assert a_pb2.ExecuteRequest.FromString(request.SerializeToString()) == request\n"
        "print(a_pb2_grpc.AServiceStub.__name__)"
    )
    environment = {"PYTHONPATH": str(tmp_path)}
    run = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert (run.stdout, run.stderr) == ("AServiceStub\n", "")


def test_the_server_keeps_what_clients_do_not_get(catalog: Catalog) -> None:
    files = compile_flow(TEXT, catalog)
    (flow,) = (file for file in client_descriptors(files).file if file.package.endswith(".a.v1"))
    assert "buf/validate/validate.proto" not in flow.dependency
    assert not any(field.HasField("options") for message in flow.message_type for field in message.field)
    (request,) = (message for message in flow.message_type if message.name == "ExecuteRequest")
    assert [nested.options.map_entry for nested in request.nested_type] == [True]
    (original,) = (file for file in files.file if file.package.endswith(".a.v1"))
    assert "buf/validate/validate.proto" in original.dependency
