"""Generation of whole projects: deterministic, fast, all mistakes at once, nothing on disk."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest
from tests.unit.codegen.root import ROOT

from promptflow_codegen.bundle import load_bundle
from promptflow_codegen.generate import generate
from promptflow_codegen.project import Project
from promptflow_codegen.write import drift, save_bundle, write
from promptflow_core.executor import Catalog

FLOW = """name: {name}
inputs:
  - {{name: text, type: string, required: true}}
steps:
  - {{name: analyze, executor: sentiment_analyzer, config: {{text: "{{{{ inputs.text }}}}"}}}}
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    shutil.copytree(ROOT / "flows", tmp_path / "flows")
    (tmp_path / "clients" / "python").mkdir(parents=True)
    return Project.at(tmp_path)


def test_the_tree_is_as_it_would_be_generated(catalog: Catalog) -> None:
    project = Project.at(ROOT)
    generated = generate(project, catalog)
    assert generated.diagnostics == ()
    assert drift(project, generated) == ()


def test_the_shipped_flows_are_generated_in_less_than_two_seconds(project: Project, catalog: Catalog) -> None:
    started = time.monotonic()
    generated = generate(project, catalog)
    assert time.monotonic() - started < 2
    assert not generated.has_errors


def test_nothing_is_written_by_generating(project: Project, catalog: Catalog) -> None:
    before = sorted(project.root.rglob("*"))
    generate(project, catalog)
    assert sorted(project.root.rglob("*")) == before


def test_two_runs_give_the_same_bytes_whatever_the_order_of_files(
    project: Project, catalog: Catalog, tmp_path: Path
) -> None:
    first = generate(project, catalog)
    for index, path in enumerate(sorted(project.flows_dir.glob("*.yaml"), reverse=True)):
        path.rename(path.with_name(f"{index}.yaml"))
    second = generate(project, dict(reversed(list(catalog.items()))))
    assert dict(second.files) == dict(first.files)
    assert first.bundle is not None
    assert second.bundle is not None
    assert second.bundle.descriptors == first.bundle.descriptors


def test_a_bundle_is_read_as_it_was_saved(project: Project, catalog: Catalog) -> None:
    bundle = generate(project, catalog).bundle
    assert bundle is not None
    save_bundle(bundle, project.bundles_dir)
    assert load_bundle(project.bundles_dir) == bundle
    assert [plan.name for plan in bundle.plans] == ["conditional_processing", "document_insight", "sentiment_analysis"]


def test_mistakes_of_all_files_are_told_at_once_and_nothing_is_generated(project: Project, catalog: Catalog) -> None:
    (project.flows_dir / "a.yaml").write_text("name: [\n")
    (project.flows_dir / "b.yaml").write_text(FLOW.format(name="files"))
    (project.flows_dir / "c.yaml").write_text(FLOW.format(name="sentiment_analysis"))
    (project.flows_dir / "d.yml").write_text("name: d\nsteps: []\n")
    generated = generate(project, catalog)
    assert [(found.file, found.code) for found in generated.diagnostics] == [
        ("flows/a.yaml", "syntax"),
        ("flows/b.yaml", "reserved-name"),
        ("flows/d.yml", "missing-key"),
        ("flows/sentiment_analysis.yaml", "duplicate-flow"),
    ]
    assert (generated.has_errors, generated.files, generated.bundle) == (True, {}, None)


def test_tests_of_flows_are_no_flows(project: Project, catalog: Catalog) -> None:
    (project.flows_dir / "sentiment_analysis.test.yaml").write_text("not: a flow\n")
    assert generate(project, catalog).diagnostics == ()


def test_a_project_without_flows_says_so(tmp_path: Path, catalog: Catalog) -> None:
    (found,) = generate(Project.at(tmp_path), catalog).diagnostics
    assert (found.code, found.file) == ("no-flows", "flows/")


def test_files_that_cannot_be_read_are_diagnostics(project: Project, catalog: Catalog) -> None:
    (project.flows_dir / "folder.yaml").mkdir()
    (project.flows_dir / "gone.yaml").symlink_to("nowhere")
    (project.flows_dir / "loop.yaml").symlink_to("loop.yaml")
    os.mkfifo(project.flows_dir / "pipe.yaml")
    (project.flows_dir / "huge.yaml").write_bytes(b"#" * 2_000_000)
    assert [(found.file, found.code) for found in generate(project, catalog).diagnostics] == [
        ("flows/folder.yaml", "unreadable-file"),
        ("flows/gone.yaml", "unreadable-file"),
        ("flows/huge.yaml", "too-large"),
        ("flows/loop.yaml", "unreadable-file"),
        ("flows/pipe.yaml", "unreadable-file"),
    ]


def test_a_lock_that_is_missing_beside_its_proto_is_a_diagnostic(project: Project, catalog: Catalog) -> None:
    write(project, generate(project, catalog))
    lock = next(project.proto_dir.rglob("sentiment_analysis.lock.yaml"))
    lock.unlink()
    (found,) = generate(project, catalog).diagnostics
    assert (found.code, found.file) == ("damaged-lock", lock.relative_to(project.root).as_posix())
    next(project.proto_dir.rglob("sentiment_analysis.proto")).unlink()
    assert generate(project, catalog).diagnostics == ()


def test_stubs_are_left_out_where_there_is_no_client(project: Project, catalog: Catalog) -> None:
    shutil.rmtree(project.root / "clients")
    files = generate(Project.at(project.root), catalog).files
    assert {path.parts[0] for path in files} == {"flows", "proto"}
