"""What an earlier run made is taken over only where it is what would be made again."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from promptflow_codegen import compile as compiling
from promptflow_codegen.generate import generate
from promptflow_codegen.project import Project
from promptflow_codegen.reuse import notes_path
from promptflow_codegen.write import MAX_NOTES, drift, write
from promptflow_core.executor import Catalog

FLOW = """name: {name}
inputs:
  - {{name: text, type: string, required: true}}
steps:
  - {{name: x, executor: transform, config: {{value: "{{{{ inputs.text }}}}"}}}}
outputs: {{said: "{{{{ steps.x.value }}}}"}}
"""
STUB = Path("clients/python/promptflow_api/flows/a/v1/a_pb2.py")
NAMES = ("a", "b", "c")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    root = tmp_path / "project"
    (root / "flows").mkdir(parents=True)
    (root / "clients" / "python").mkdir(parents=True)
    for name in NAMES:
        (root / "flows" / f"{name}.yaml").write_text(FLOW.format(name=name))
    return Project.at(root)


@pytest.fixture
def notes(project: Project, catalog: Catalog, tmp_path: Path) -> Path:
    """What a first run noted."""
    path = notes_path(tmp_path / "cache", project)
    write(project, generate(project, catalog), path)
    return path


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The flow protos that protoc is given, by name."""
    given: list[str] = []
    run: Any = compiling._run

    def spy(*arguments: str) -> None:
        given.extend(Path(path).stem for path in arguments if path.startswith("promptflow_api/flows/"))
        run(*arguments)

    monkeypatch.setattr(compiling, "_run", spy)
    return given


def test_nothing_is_made_twice(project: Project, catalog: Catalog, notes: Path, compiled: list[str]) -> None:
    again = generate(project, catalog, notes=notes)
    assert compiled == []
    assert again == generate(project, catalog)
    assert set(compiled) == set(NAMES)


def test_one_edit_makes_one_flow_anew(project: Project, catalog: Catalog, notes: Path, compiled: list[str]) -> None:
    path = project.flows_dir / "b.yaml"
    path.write_text(
        path.read_text().replace("outputs:", "description: More.\noutputs:").replace("{said:", "{more: a, said:")
    )
    generated = generate(project, catalog, notes=notes)
    assert set(compiled) == {"b"}
    assert generated == generate(project, catalog)


def test_a_flow_that_comes_or_goes_changes_nothing_else(
    project: Project, catalog: Catalog, notes: Path, compiled: list[str]
) -> None:
    (project.flows_dir / "a.yaml").unlink()
    (project.root / "promptflow.yaml").write_text("removed: [a@1]\n")
    project = Project.at(project.root)
    (project.flows_dir / "d.yaml").write_text(FLOW.format(name="d"))
    generated = generate(project, catalog, notes=notes)
    assert set(compiled) == {"d"}
    assert generated == generate(project, catalog)


def test_an_edited_stub_is_seen_and_made_anew(project: Project, catalog: Catalog, notes: Path) -> None:
    (project.root / STUB).write_text("edited by hand")
    assert drift(project, generate(project, catalog, notes=notes)) == (STUB,)


def test_notes_never_lie_in_the_tree(project: Project, notes: Path) -> None:
    assert not notes.is_relative_to(project.root)
    assert notes.stat().st_mode & 0o777 == 0o600
    assert [path for path in project.root.rglob("*.json") if path.parent.name in ("cache", "generated")] == []


def test_notes_of_old_projects_go(project: Project, catalog: Catalog, notes: Path) -> None:
    for number in range(MAX_NOTES + 5):
        (notes.parent / f"{number}.json").write_text("{}")
        os.utime(notes.parent / f"{number}.json", (number, number))
    write(project, generate(project, catalog), notes)
    left = {path.name for path in notes.parent.iterdir()}
    assert left == {notes.name, *(f"{number}.json" for number in range(6, MAX_NOTES + 5))}


@pytest.mark.parametrize("mode", [0o602, 0o620])
def test_notes_that_others_may_write_are_not_believed(
    mode: int, project: Project, catalog: Catalog, notes: Path, compiled: list[str]
) -> None:
    notes.chmod(mode)
    generate(project, catalog, notes=notes)
    assert set(compiled) == set(NAMES)


@pytest.mark.parametrize("damage", [b"", b"[]", b"{", b'{"a": 1}', b"[" * 100_000, b"\xff"])
def test_damaged_notes_cost_time_alone(damage: bytes, project: Project, catalog: Catalog, notes: Path) -> None:
    expected = generate(project, catalog)
    notes.write_bytes(damage)
    assert generate(project, catalog, notes=notes) == expected


def test_notes_lead_nowhere_outside_the_tree(project: Project, catalog: Catalog, notes: Path) -> None:
    expected = generate(project, catalog)
    known: dict[str, dict[str, str]] = json.loads(notes.read_bytes())
    led = {key: {f"../../{path}": digest for path, digest in made.items()} for key, made in known.items()}
    notes.write_text(json.dumps(led))
    assert generate(project, catalog, notes=notes) == expected


def test_another_generator_takes_nothing_over(
    project: Project, catalog: Catalog, notes: Path, compiled: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("promptflow_codegen.reuse._generator", lambda: "another")
    generate(project, catalog, notes=notes)
    assert set(compiled) == set(NAMES)
