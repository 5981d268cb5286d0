from __future__ import annotations

import json
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from promptflow_codegen.bundle import load_bundle
from promptflow_codegen.diagnostics_formats import DiagnosticsFormat
from promptflow_codegen.generate import generate
from promptflow_codegen.project import Project
from promptflow_codegen.reuse import notes_path
from promptflow_core.registry import ExecutorRegistry
from promptflow_server.cli.failures import CommandError
from promptflow_server.cli.generating import check_command, generate_command

FLOW = """\
name: shout
inputs:
  - {name: text, type: string, required: true}
steps:
  - name: shout
    executor: transform
    config: {type: string, value: "{{ inputs.text | upper }}"}
"""
PROTO = "proto/promptflow_api/flows/shout/v1/shout.proto"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    # Projects put themselves there, so that their executors are found.
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "shout.yaml").write_text(FLOW)
    return tmp_path


def files_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_what_is_generated_is_named_and_then_up_to_date(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    generate_command(project)
    first = capsys.readouterr().out
    assert f"  wrote {PROTO}\n" in first
    assert first.splitlines()[-1].endswith(": shout v1")
    generate_command(project)
    assert "wrote" not in capsys.readouterr().out
    check_command(project)
    assert "up to date" in capsys.readouterr().out


def test_check_names_what_is_not_as_generated_and_mends_nothing(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    generate_command(project)
    (project / PROTO).write_text("edited by hand")
    with pytest.raises(CommandError, match="1 generated file is out of date; run `promptflow generate`"):
        check_command(project)
    assert f"{PROTO}:1:1: error[out-of-date]: not as it would be generated" in capsys.readouterr().out
    assert (project / PROTO).read_text() == "edited by hand"


def noted(data: bytes) -> bytes:
    """What notes hold of a file."""
    return sha256(b"%d " % len(data) + data).hexdigest()[:32].encode()


def test_check_believes_nothing_that_the_project_brings_along(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "clients" / "python").mkdir(parents=True)
    generate_command(project)
    stub = "promptflow_api/flows/shout/v1/shout_pb2.py"
    path = project / "clients" / "python" / stub
    was, edited = path.read_bytes(), path.read_bytes() + b"# and more\n"
    path.write_bytes(edited)
    # The notes of an earlier run, where a checkout could bring them, agree with the edit.
    notes = generate(Project.at(project), ExecutorRegistry.load().catalog()).notes
    changed = notes.replace(noted(was), noted(edited))
    assert changed != notes
    cache = project / ".promptflow" / "cache"
    for place in (cache / "generated.json", notes_path(cache, Project.at(project))):
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(changed)
    with pytest.raises(CommandError, match="1 generated file is out of date"):
        check_command(project)
    assert f"clients/python/{stub}:1:1: error[out-of-date]" in capsys.readouterr().out


def test_a_wrong_flow_is_shown_with_its_place_and_nothing_is_written(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "flows" / "shout.yaml").write_text(FLOW.replace("executor: transform", "executor: transfrom"))
    for command in (generate_command, check_command):
        with pytest.raises(CommandError, match=r"1 error in the flows of .*; nothing was written"):
            command(project)
        assert "flows/shout.yaml:6:15: error[" in capsys.readouterr().out
    assert files_in(project) == {"flows/shout.yaml"}


@pytest.mark.parametrize("command", [generate_command, check_command])
def test_a_format_for_tools_is_all_that_is_printed(
    command: Callable[[Path, DiagnosticsFormat], None], project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "flows" / "shout.yaml").write_text(FLOW.replace("executor: transform", "executor: transfrom"))
    with pytest.raises(CommandError, match="1 error in the flows"):
        command(project, DiagnosticsFormat.JSON)
    (found,) = json.loads(capsys.readouterr().out)["diagnostics"]
    assert (found["file"], found["line"], found["code"]) == ("flows/shout.yaml", 6, "unknown-executor")
    (project / "flows" / "shout.yaml").write_text(FLOW)
    generate_command(project, DiagnosticsFormat.GITHUB)
    check_command(project, DiagnosticsFormat.GITHUB)
    assert capsys.readouterr().out == ""
    check_command(project, DiagnosticsFormat.SARIF)
    assert json.loads(capsys.readouterr().out)["runs"][0]["results"] == []


def test_the_bundle_lies_in_the_project_wherever_its_data_do(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMPTFLOW_DATA_DIR", str(project / "elsewhere"))
    generate_command(project)
    assert load_bundle(Project.at(project).bundles_dir).plan("shout", 1) is not None
    assert not (project / "elsewhere").exists()


def test_executors_of_the_project_itself_are_found_in_its_folder(project: Path) -> None:
    (project / "own_executor.py").write_text(
        "from promptflow_core.executor import BaseExecutor, ExecutorConfig, ExecutorOutput\n"
        "class Config(ExecutorConfig):\n    text: str\n"
        "class Output(ExecutorOutput):\n    text: str\n"
        "class Own(BaseExecutor[Config, Output]):\n"
        "    '''Own.'''\n    name = 'own'\n    Config, Output = Config, Output\n"
        "    async def execute(self, context, config):\n        raise NotImplementedError\n"
    )
    (project / "promptflow.yaml").write_text('executors: ["own_executor:Own"]\n')
    flow = FLOW.replace("executor: transform", "executor: own").replace("{type: string, value:", "{text:")
    (project / "flows" / "shout.yaml").write_text(flow)
    generate_command(project)
    assert "OwnOutput" in (project / PROTO).read_text()


@pytest.mark.parametrize(
    ("settings", "says"), [("executors: [absent:Nothing]\n", "No module named 'absent'"), ("executors: [x]\n", "`x`")]
)
def test_an_executor_that_is_not_there_is_told(project: Path, settings: str, says: str) -> None:
    (project / "promptflow.yaml").write_text(settings)
    with pytest.raises(CommandError, match="an executor cannot be loaded") as caught:
        generate_command(project)
    assert says.strip("`") in str(caught.value)
