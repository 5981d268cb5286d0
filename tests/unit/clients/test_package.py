"""The client as a published package: it stands on what it declares, and shares no file with what stands on it."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from tests.unit.clients.sample import ROOT

from promptflow_codegen.emit.stubs import client_descriptors
from promptflow_codegen.generate import generate
from promptflow_codegen.languages.language import ClientSource
from promptflow_codegen.languages.python import PythonLanguage, needed_versions
from promptflow_codegen.project import Project
from promptflow_codegen.write_packages import write_packages
from promptflow_core.registry import ExecutorRegistry

FLOW = """name: greet
inputs:
  - {name: who, type: string, required: true}
steps:
  - {name: say, executor: transform, config: {value: "hello {{ inputs.who }}"}}
"""
USE = """
import sys
sys.path[:0] = sys.argv[1:]
import asyncio, importlib.metadata
import promptflow_client
from promptflow_api.client import PromptFlow
from promptflow_api.sync import PromptFlow as Blocking
from acme.sync import PromptFlow as Acme

assert importlib.metadata.version("promptflow-grpc-client") == "0.1.0"
hurried = promptflow_client.RetryPolicy(patience_s=0)
for cls in (Blocking, Acme):
    with cls("127.0.0.1:1", retry=hurried) as pf:
        flow = pf.sentiment_analysis if cls is Blocking else pf.greet
        try:
            flow.info()
        except promptflow_client.UnavailableError as error:
            print(error.code.name)
"""


def build(folder: Path, target: Path) -> Path:
    """The wheel of a project folder."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(target)]
    subprocess.run(command, cwd=folder, capture_output=True, check=True, timeout=60)
    (wheel,) = target.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of the client."""
    return build(ROOT / "clients" / "python", tmp_path_factory.mktemp("runtime"))


@pytest.fixture(scope="module")
def acme(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of a project of others."""
    return wheel_of(tmp_path_factory.mktemp("acme"), "acme.flows")


def wheel_of(root: Path, package: str) -> Path:
    """The wheel that `promptflow generate --lang python` and `hatchling build` make of one flow in `package`."""
    (root / "flows").mkdir()
    (root / "flows" / "greet.yaml").write_text(FLOW)
    (root / "promptflow.yaml").write_text(f"package: {package}\n")
    project = Project.at(root)
    bundle = generate(project, ExecutorRegistry.load().catalog()).bundle
    assert bundle is not None
    descriptors = client_descriptors(FileDescriptorSet.FromString(bundle.descriptors))
    made = PythonLanguage().generate(ClientSource(project, descriptors, bundle.plans), {})
    write_packages(root / "out", {"python": made})
    return build(root / "out" / "python", root / "dist")


def required(wheel: Path) -> list[str]:
    """What a wheel declares that it needs, by name."""
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        lines = archive.read(metadata).decode().splitlines()
    return [
        re.split(r"[<>=~!; \[]", line.removeprefix("Requires-Dist: "))[0] for line in lines if "Requires-Dist" in line
    ]


def with_requirements(names: list[str]) -> Iterator[Distribution]:
    """Distributions of this environment, and all that they need without extras."""
    seen: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            found = distribution(name)
            yield found
            waiting += [re.split(r"[<>=~!; \[(]", text)[0] for text in found.requires or () if "extra ==" not in text]


def test_the_wheel_runs_with_what_it_declares_and_nothing_else(runtime: Path, acme: Path, tmp_path: Path) -> None:
    assert required(runtime) == ["googleapis-common-protos", "grpcio", "protobuf"]
    assert required(acme) == ["grpcio", "promptflow-grpc-client", "protobuf"]
    site = tmp_path / "site"
    for wheel in (runtime, acme):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(site)
    for found in with_requirements(required(runtime)):
        for file in found.files or ():
            if ".." not in file.parts and file.suffix != ".pyc":
                (site / file).parent.mkdir(parents=True, exist_ok=True)
                (site / file).symlink_to(file.locate())
    # No site-packages, no environment: only what was put there.
    command = [sys.executable, "-I", "-S", "-W", "error", "-c", USE, str(site)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (done.stdout, done.stderr) == ("UNAVAILABLE\nUNAVAILABLE\n", "")


def versions(text: str) -> dict[str, tuple[int, ...]]:
    """The least version of each distribution that a list of requirements names."""
    found = re.findall(r'"([a-z-]+)>=([0-9.]+)', text)
    return {name: tuple(map(int, version.split("."))) for name, version in found}


def test_the_least_versions_declared_are_those_that_the_modules_ask_for(runtime: Path, acme: Path) -> None:
    for wheel, settings in ((runtime, ROOT / "clients/python"), (acme, acme.parents[1] / "out/python")):
        with zipfile.ZipFile(wheel) as archive:
            modules = {name: archive.read(name).decode() for name in archive.namelist() if name.endswith(".py")}
        declared = versions((settings / "pyproject.toml").read_text("utf-8"))
        messages = needed_versions(modules)
        assert declared["grpcio"] >= messages["grpcio"]
        assert declared["protobuf"] >= messages["protobuf"]


def test_packages_share_no_file(runtime: Path, acme: Path, tmp_path: Path) -> None:
    for name in ("billing", "search"):
        (tmp_path / name).mkdir()
    others = [wheel_of(tmp_path / "billing", "acme.billing.flows"), wheel_of(tmp_path / "search", "acme.search")]
    names: list[str] = []
    for wheel in (runtime, acme, *others):
        with zipfile.ZipFile(wheel) as archive:
            names += archive.namelist()
    assert [name for name in names if names.count(name) > 1] == []


def test_the_wheel_has_the_licence(runtime: Path) -> None:
    with zipfile.ZipFile(runtime) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("/licenses/LICENSE"))
        assert archive.read(name) == (ROOT / "LICENSE").read_bytes()


@pytest.mark.parametrize("client", ["python", "go", "ts"])
def test_every_client_has_the_licence(client: str) -> None:
    assert (ROOT / "clients" / client / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


def test_the_wheel_is_typed_and_has_every_module(runtime: Path) -> None:
    with zipfile.ZipFile(runtime) as archive:
        names = set(archive.namelist())
    assert {"promptflow_client/py.typed", "promptflow_api/py.typed", "promptflow_api/sync.py"} <= names
    assert {
        f"promptflow_client/{path.name}" for path in (ROOT / "clients/python/promptflow_client").glob("*.py")
    } <= names
