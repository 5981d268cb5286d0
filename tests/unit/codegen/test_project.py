"""Where a project's things lie."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.codegen.root import ROOT

from promptflow_codegen.project import Project, ProjectError


def test_a_folder_without_settings_is_a_project(tmp_path: Path) -> None:
    project = Project.at(tmp_path)
    assert (project.flows_dir, project.proto_dir) == (tmp_path / "flows", tmp_path / "proto")
    assert (project.bundles_dir, project.python_client_dir) == (tmp_path / ".promptflow" / "bundles", None)
    assert project.executors == ()


def test_stubs_are_generated_where_there_is_a_client_folder(tmp_path: Path) -> None:
    (tmp_path / "clients" / "python").mkdir(parents=True)
    assert Project.at(tmp_path).python_client_dir == tmp_path / "clients" / "python"


def test_a_project_names_its_own_executors(tmp_path: Path) -> None:
    (tmp_path / "promptflow.yaml").write_text("executors: [my.module:Mine]\n")
    assert Project.at(tmp_path).executors == ("my.module:Mine",)


SETTINGS = {
    "an unknown key": ("executor: [x:Y]\n", "executor"),
    "not a list": ("executors: x:Y\n", "executors"),
    "not a mapping": ("- x\n", "promptflow.yaml"),
    "not YAML": ("a: b: c\n", "promptflow.yaml:1:5"),
    "an alias": ("executors: *x\n", "anchor"),
    "too large": ("#" * 2_000_000, "too-large"),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_that_cannot_be_read_say_where(name: str, tmp_path: Path) -> None:
    text, expected = SETTINGS[name]
    (tmp_path / "promptflow.yaml").write_text(text)
    with pytest.raises(ProjectError, match=expected):
        Project.at(tmp_path)


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n"])
def test_settings_may_be_empty(text: str, tmp_path: Path) -> None:
    (tmp_path / "promptflow.yaml").write_text(text)
    assert Project.at(tmp_path).executors == ()


def test_a_folder_that_is_not_there_is_no_project(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match="there is no folder"):
        Project.at(tmp_path / "missing")


def test_a_project_without_the_contract_gets_the_shipped_one(tmp_path: Path) -> None:
    assert Project.at(tmp_path).contract_protos() == Project.at(ROOT).contract_protos()
    (tmp_path / "proto" / "promptflow_api" / "v1").mkdir(parents=True)
    (tmp_path / "proto" / "promptflow_api" / "v1" / "own.proto").write_text("own")
    assert Project.at(tmp_path).contract_protos() == {"promptflow_api/v1/own.proto": "own"}
