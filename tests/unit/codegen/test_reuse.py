"""What an earlier run made is taken over only where it is what would be made again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from promptflow_codegen import compile as compiling
from promptflow_codegen.generate import Generated, generate
from promptflow_codegen.project import Project
from promptflow_codegen.reuse import NOTES
from promptflow_codegen.write import drift, write
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
def project(tmp_path: Path, catalog: Catalog) -> Project:
    (tmp_path / "flows").mkdir()
    (tmp_path / "clients" / "python").mkdir(parents=True)
    for name in NAMES:
        (tmp_path / "flows" / f"{name}.yaml").write_text(FLOW.format(name=name))
    project = Project.at(tmp_path)
    write(project, generate(project, catalog))
    return project


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


def fresh(project: Project, catalog: Catalog) -> Generated:
    """What is generated where nothing is remembered."""
    notes = project.root / NOTES
    kept = notes.read_bytes()
    notes.unlink()
    generated = generate(project, catalog)
    notes.write_bytes(kept)
    return generated


def test_nothing_is_made_twice(project: Project, catalog: Catalog, compiled: list[str]) -> None:
    again = generate(project, catalog)
    assert compiled == []
    assert again == fresh(project, catalog)
    assert set(compiled) == set(NAMES)


def test_one_edit_makes_one_flow_anew(project: Project, catalog: Catalog, compiled: list[str]) -> None:
    path = project.flows_dir / "b.yaml"
    path.write_text(
        path.read_text().replace("outputs:", "description: More.\noutputs:").replace("{said:", "{more: a, said:")
    )
    generated = generate(project, catalog)
    assert set(compiled) == {"b"}
    assert generated == fresh(project, catalog)


def test_a_flow_that_comes_or_goes_changes_nothing_else(
    project: Project, catalog: Catalog, compiled: list[str]
) -> None:
    (project.flows_dir / "a.yaml").unlink()
    (project.flows_dir / "d.yaml").write_text(FLOW.format(name="d"))
    generated = generate(project, catalog)
    assert set(compiled) == {"d"}
    assert generated == fresh(project, catalog)


def test_an_edited_stub_is_seen_and_made_anew(project: Project, catalog: Catalog) -> None:
    (project.root / STUB).write_text("edited by hand")
    assert drift(project, generate(project, catalog)) == (STUB,)


@pytest.mark.parametrize("notes", [b"", b"[]", b"{", b'{"a": 1}', b"[" * 100_000, b"\xff"])
def test_damaged_notes_cost_time_alone(notes: bytes, project: Project, catalog: Catalog) -> None:
    expected = generate(project, catalog)
    (project.root / NOTES).write_bytes(notes)
    assert generate(project, catalog) == expected


def test_notes_lead_nowhere_outside_the_tree(project: Project, catalog: Catalog) -> None:
    expected = generate(project, catalog)
    notes = {key: {f"../../{path}": digest for path, digest in made.items()} for key, made in read(project).items()}
    (project.root / NOTES).write_text(json.dumps(notes))
    assert generate(project, catalog) == expected


def test_another_generator_takes_nothing_over(
    project: Project, catalog: Catalog, compiled: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("promptflow_codegen.reuse._generator", lambda: "another")
    generate(project, catalog)
    assert set(compiled) == set(NAMES)


def read(project: Project) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = json.loads((project.root / NOTES).read_bytes())
    return found
