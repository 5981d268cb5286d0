"""Client packages of a project's own flows: complete, the same each time, and nothing of others touched."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from tests.unit.codegen.root import ROOT

from promptflow_codegen.emit.stubs import client_descriptors
from promptflow_codegen.generate import generate
from promptflow_codegen.languages.language import ClientPackage, ClientSource, LanguageError
from promptflow_codegen.languages.python import PythonLanguage
from promptflow_codegen.languages.registry import languages
from promptflow_codegen.project import Project, ProjectError
from promptflow_codegen.write import WriteError, drift, write
from promptflow_codegen.write_packages import MANIFEST, write_packages
from promptflow_core.executor import Catalog

GREET = """name: greet
description: Says hello | politely
inputs:
  - {name: who, type: string, required: true}
  - {name: times, type: int32, default: 1}
steps:
  - {name: say, executor: transform, config: {value: "hello {{ inputs.who }}"}}
"""
EVERYTHING = """name: everything
inputs:
  - {name: text, type: string, required: true}
  - {name: count, type: integer, required: true, min: 5}
  - {name: moment, type: timestamp, required: true}
  - {name: waits, type: "duration[]", required: true}
  - {name: mood, type: enum, values: [good, bad], required: true}
  - {name: page, type: file, required: true}
  - {name: class, type: boolean, required: true}
  - {name: by_name, type: map<json>, required: true}
steps:
  - {name: say, executor: transform, config: {value: a}}
"""


def project_of(root: Path, package: str = "acme.flows", **flows: str) -> Project:
    """A project in `root`."""
    (root / "flows").mkdir(exist_ok=True)
    for name, text in (flows or {"greet": GREET}).items():
        (root / "flows" / f"{name}.yaml").write_text(text)
    (root / "promptflow.yaml").write_text(
        f"package: {package}\ngo_package: example.com/acme\nnpm_name: '@acme/flows'\n"
    )
    return Project.at(root)


def source_of(project: Project, catalog: Catalog) -> ClientSource:
    """What languages get of a project."""
    bundle = generate(project, catalog).bundle
    assert bundle is not None
    descriptors = client_descriptors(FileDescriptorSet.FromString(bundle.descriptors))
    return ClientSource(project, descriptors, bundle.plans)


@pytest.fixture
def package(tmp_path: Path, catalog: Catalog) -> ClientPackage:
    """The Python package of one flow."""
    return PythonLanguage().generate(source_of(project_of(tmp_path), catalog), {})


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_package_has_what_is_published(package: ClientPackage) -> None:
    assert set(package.files) == {
        *("acme/client.py", "acme/sync.py", "acme/py.typed"),
        *(f"acme/flows/greet/v1/{name}" for name in ("client.py", "sync.py")),
        *(f"acme/flows/greet/v1/greet_pb2{end}" for end in (".py", ".pyi", "_grpc.py")),
    }
    settings = tomllib.loads(package.seeds["pyproject.toml"].decode())
    assert settings["project"]["name"] == "acme-flows"
    assert "license" not in settings["project"]
    assert settings["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == ["acme"]
    runtime = tomllib.loads((ROOT / "clients/python/pyproject.toml").read_text("utf-8"))["project"]
    assert f"{runtime['name']}>=0.1,<0.2" in settings["project"]["dependencies"]
    assert runtime["version"].startswith("0.1.")
    assert "Says hello \\| politely" in package.seeds["README.md"].decode()


def test_a_package_carries_nothing_that_another_may_carry_too(package: ClientPackage) -> None:
    assert not any(path.startswith("promptflow_") for path in package.files)


def test_two_runs_give_the_same_bytes(tmp_path: Path, catalog: Catalog) -> None:
    first, second = (PythonLanguage().generate(source_of(project_of(tmp_path), catalog), {}) for _ in range(2))
    assert first == second


PACKAGES = {
    "a root and `flows`": ("acme.flows", "acme"),
    "one word": ("acme", "acme"),
    "a deep one": ("acme.billing.flows", "acme.billing"),
    "another ending": ("acme.jobs", "acme.jobs"),
    "only flows": ("flows", "flows"),
}
USE = """
import inspect
from {root}.client import PromptFlow
from {root}.sync import PromptFlow as Blocking
from {package}.greet.v1 import greet_pb2, greet_pb2_grpc
assert greet_pb2.DESCRIPTOR.services_by_name["GreetService"].full_name == "{package}.greet.v1.GreetService"
for cls in (PromptFlow, Blocking):
    assert {{"who", "times"}} < set(inspect.signature(cls("localhost:1").greet.run).parameters)
print(greet_pb2_grpc.GreetServiceStub.__name__)
"""


@pytest.mark.parametrize(("package", "root"), PACKAGES.values(), ids=PACKAGES.keys())
def test_a_package_works_beside_the_runtime_under_any_name(
    tmp_path: Path, catalog: Catalog, package: str, root: str
) -> None:
    made = PythonLanguage().generate(source_of(project_of(tmp_path, package), catalog), {})
    write_packages(tmp_path / "out", {"python": made})
    command = [sys.executable, "-W", "error", "-c", USE.format(root=root, package=package)]
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}/out/python{os.pathsep}{ROOT}/clients/python"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False, env=environment)
    assert (done.stdout, done.stderr) == ("GreetServiceStub\n", "")


@pytest.mark.timeout(120)
def test_the_first_example_of_a_package_is_typed(tmp_path: Path, catalog: Catalog) -> None:
    made = PythonLanguage().generate(source_of(project_of(tmp_path, everything=EVERYTHING), catalog), {})
    write_packages(tmp_path / "out", {"python": made})
    blocks = re.findall(r"^```python\n(.*?)^```$", made.seeds["README.md"].decode(), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 2
    for number, block in enumerate(blocks):
        (tmp_path / f"example{number}.py").write_text(block)
    environment = {**os.environ, "MYPYPATH": f"{tmp_path}/out/python{os.pathsep}{ROOT}/clients/python"}
    flags = ["--strict", "--namespace-packages", "--explicit-package-bases", "--cache-dir", str(tmp_path / "cache")]
    command = [sys.executable, "-m", "mypy", *flags, "example0.py", "example1.py"]
    check = subprocess.run(
        command, capture_output=True, text=True, timeout=110, check=False, env=environment, cwd=tmp_path
    )
    assert [line for line in check.stdout.splitlines() if line.startswith("example")] == [], check.stdout
    assert "2 source files" in check.stdout, check.stdout + check.stderr


@pytest.mark.parametrize("flow", ["client", "sync"])
def test_a_flow_that_would_hide_the_client_is_refused(tmp_path: Path, catalog: Catalog, flow: str) -> None:
    texts = {flow: GREET.replace("greet", flow)}
    with pytest.raises(LanguageError, match=r"set `package: acme\.flows`"):
        PythonLanguage().generate(source_of(project_of(tmp_path, "acme", **texts), catalog), {})
    (tmp_path / "other").mkdir()
    PythonLanguage().generate(source_of(project_of(tmp_path / "other", "acme.flows", **texts), catalog), {})


REFUSED = {
    "a keyword": ("acme.import.flows", "a word of Python's own"),
    "google": ("google.flows", "a package of others"),
    "buf": ("buf.flows", "a package of others"),
    "ours": ("promptflow_api.v1", "a package of others"),
    "the generator": ("promptflow_codegen", "a package of others"),
    "the runtime": ("promptflow_client.flows", "a package of others"),
    "the standard library": ("json.flows", "a package of others"),
    "no package at all": ("Acme-Flows", "package"),
}


@pytest.mark.parametrize(("package", "said"), REFUSED.values(), ids=REFUSED.keys())
def test_a_package_that_cannot_be_is_refused(tmp_path: Path, package: str, said: str) -> None:
    with pytest.raises(ProjectError, match=said):
        project_of(tmp_path, package)


def test_every_language_has_a_name_of_its_own_and_a_folder(tmp_path: Path) -> None:
    for name, language in languages().items():
        assert language.name == name
        assert re.fullmatch(r"[a-z]+", name)


Edit = Callable[[Path], None]


def test_what_nothing_generates_any_more_goes_and_what_others_wrote_stays(tmp_path: Path, catalog: Catalog) -> None:
    out = tmp_path / "out"
    language = PythonLanguage()
    both = project_of(tmp_path, greet=GREET, other=GREET.replace("greet", "other"))
    write_packages(out, {"python": language.generate(source_of(both, catalog), {})})
    theirs = {"LICENSE": b"mine", "acme/own.py": b"own = 1\n", "acme/flows/other/v1/notes.txt": b"notes"}
    for path, data in theirs.items():
        (out / "python" / path).write_bytes(data)
    (tmp_path / "flows" / "other.yaml").unlink()
    written = write_packages(out, {"python": language.generate(source_of(Project.at(tmp_path), catalog), {})})
    left = snapshot(out / "python")
    assert {path: left[path] for path in theirs} == theirs
    assert {path for path in left if "/other/" in path} == {"acme/flows/other/v1/notes.txt"}
    assert len(written.removed) == 5
    assert not (out / "python" / "acme/flows/other/v1/other_pb2.py").exists()
    assert (out / "python" / "acme/flows/greet/v1/client.py").exists()


def test_a_second_run_changes_nothing(tmp_path: Path, package: ClientPackage) -> None:
    first = write_packages(tmp_path / "out", {"python": package})
    assert len(first.written) == len(package.files) + len(package.seeds)
    before = snapshot(tmp_path / "out")
    again = write_packages(tmp_path / "out", {"python": package})
    assert (again.written, again.removed, again.kept) == ((), (), ())
    assert snapshot(tmp_path / "out") == before


def test_generated_files_are_restored_and_edited_seeds_are_kept(tmp_path: Path, package: ClientPackage) -> None:
    out = tmp_path / "out" / "python"
    write_packages(tmp_path / "out", {"python": package})
    (out / "README.md").write_text("mine")
    (out / "acme/client.py").write_text("edited")
    for _ in range(2):
        written = write_packages(tmp_path / "out", {"python": package})
        assert written.kept == (Path("python/README.md"),)
    assert (out / "README.md").read_text() == "mine"
    assert (out / "acme/client.py").read_bytes() == package.files["acme/client.py"]


def test_packages_of_other_languages_stay(tmp_path: Path, package: ClientPackage) -> None:
    write_packages(tmp_path / "out", {"go": package})
    before = snapshot(tmp_path / "out" / "go")
    write_packages(tmp_path / "out", {"python": package})
    assert snapshot(tmp_path / "out" / "go") == before


def _a_file(out: Path) -> None:
    out.write_text("a file")


def _files_of_others(out: Path) -> None:
    (out / "python").mkdir(parents=True)
    (out / "python" / "main.py").write_text("mine")


def _a_file_in_the_way(out: Path) -> None:
    out.mkdir()
    (out / "python").write_text("mine")


def _a_damaged_manifest(out: Path) -> None:
    _files_of_others(out)
    (out / "python" / MANIFEST).write_text("{")


def _a_newer_manifest(out: Path) -> None:
    _files_of_others(out)
    (out / "python" / MANIFEST).write_text(json.dumps({"format": 2, "files": {}}))


def _a_manifest_that_leads_out(out: Path) -> None:
    _files_of_others(out)
    (out / "victim").write_text("victim")
    document = {"format": 1, "files": {"../victim": "x"}}
    (out / "python" / MANIFEST).write_text(json.dumps(document))


def _a_file_where_one_is_generated(out: Path) -> None:
    (out / "python" / "acme").mkdir(parents=True)
    (out / "python" / "acme" / "client.py").write_text("mine")
    (out / "python" / MANIFEST).write_text(json.dumps({"format": 1, "files": {}}))


IN_THE_WAY: dict[str, tuple[Edit, str]] = {
    "a file for the folder": (_a_file, "is no folder"),
    "a file for a language's folder": (_a_file_in_the_way, "is no folder"),
    "files of others": (_files_of_others, "did not write"),
    "a damaged manifest": (_a_damaged_manifest, "damaged"),
    "a newer manifest": (_a_newer_manifest, "newer release"),
    "a manifest that leads out of the folder": (_a_manifest_that_leads_out, "damaged"),
    "a file of others where one is generated": (_a_file_where_one_is_generated, "was not generated"),
}


@pytest.mark.parametrize(("edit", "said"), IN_THE_WAY.values(), ids=IN_THE_WAY.keys())
def test_what_is_in_the_way_is_told_and_left_alone(
    tmp_path: Path, package: ClientPackage, edit: Edit, said: str
) -> None:
    out = tmp_path / "out"
    edit(out)
    before = snapshot(tmp_path)
    with pytest.raises(WriteError, match=said):
        write_packages(out, {"go": package, "python": package})
    assert snapshot(tmp_path) == before
    assert not (out / "go").exists()


def test_where_one_file_cannot_be_written_none_is(tmp_path: Path, package: ClientPackage) -> None:
    out = tmp_path / "out"
    write_packages(out, {"python": package})
    before = snapshot(out)
    (out / "python" / "acme" / "new.py").mkdir()
    changed = ClientPackage({**package.files, "acme/client.py": b"new", "acme/new.py": b"new"}, package.seeds)
    with pytest.raises(WriteError, match=r"new\.py"):
        write_packages(out, {"go": package, "python": changed})
    assert snapshot(out) == before
    assert not (out / "go").exists()


def test_the_tree_of_a_project_of_its_own_has_its_own_flows_alone(tmp_path: Path, catalog: Catalog) -> None:
    (tmp_path / "clients" / "python").mkdir(parents=True)
    project = project_of(tmp_path)
    write(project, generate(project, catalog))
    assert (tmp_path / "proto/acme/flows/greet/v1/greet.proto").exists()
    assert {path.name for path in (tmp_path / "clients/python").iterdir()} == {"acme"}


def test_files_of_others_in_the_projects_package_are_not_drift(tmp_path: Path, catalog: Catalog) -> None:
    (tmp_path / "clients" / "python").mkdir(parents=True)
    project = project_of(tmp_path, "acme")
    write(project, generate(project, catalog))
    theirs = ("proto/acme/types.proto", "proto/acme/greet/v1/extra.proto", "clients/python/acme/own.py")
    for path in theirs:
        (tmp_path / path).write_text("mine")
    (tmp_path / "flows" / "greet.yaml").rename(tmp_path / "flows" / "renamed.yaml")
    (tmp_path / "flows" / "renamed.yaml").write_text(GREET.replace("greet", "renamed"))
    with (tmp_path / "promptflow.yaml").open("a") as settings:
        settings.write("removed: [greet@1]\n")
    project = Project.at(tmp_path)
    generated = generate(project, catalog)
    stale = {path.as_posix() for path in drift(project, generated) if path not in generated.files}
    assert stale == {
        "proto/acme/greet/v1/greet.proto",
        *(f"clients/python/acme/greet/v1/{name}" for name in ("client.py", "sync.py")),
        *(f"clients/python/acme/greet/v1/greet_pb2{end}" for end in (".py", ".pyi", "_grpc.py")),
    }
    write(project, generated)
    assert all((tmp_path / path).read_text() == "mine" for path in theirs)
