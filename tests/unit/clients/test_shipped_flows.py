"""The clients of the flows that ship, as the generator writes them now, and what the README says of them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.unit.clients.sample import ROOT

from promptflow_codegen.generate import generate
from promptflow_codegen.project import Project
from promptflow_core.registry import ExecutorRegistry

README = ROOT / "clients/python/README.md"
_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)

OPEN_EVERY_CLIENT = """
import inspect
from promptflow_api.client import PromptFlow

flows = [name for name, value in vars(PromptFlow).items() if hasattr(value, "attrname")]
for name in flows:
    client = getattr(PromptFlow("localhost:1"), name)
    contract = client._calls._contract
    execution = contract.methods["GetStatus"].parse_response(b"")
    execution.status = 3
    contract.execution(execution)
    contract.result(execution)
    request = contract.methods["Execute"].request()
    parameters = set(inspect.signature(client.run).parameters) - {"timeout", "options"}
    fields = set(request.DESCRIPTOR.fields_by_name) - {"execution_mode", "options"}
    assert {parameter.rstrip("_") for parameter in parameters} == fields, (name, parameters, fields)
print(*flows)
"""


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python packages that `promptflow generate` would write."""
    folder = tmp_path_factory.mktemp("generated")
    found = generate(Project.at(ROOT), ExecutorRegistry.load().catalog())
    assert not found.has_errors, found.diagnostics
    for path, data in found.files.items():
        if path.is_relative_to("clients/python"):
            target = folder / path.relative_to("clients/python")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
    return folder


def test_each_client_belongs_to_its_messages(generated: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(generated), str(ROOT / "clients/python")])}
    command = [sys.executable, "-c", OPEN_EVERY_CLIENT]
    opened = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False, env=environment)
    assert opened.returncode == 0, opened.stderr
    assert opened.stdout.split() == sorted(path.stem for path in (ROOT / "flows").glob("*.yaml"))


@pytest.mark.timeout(120)
def test_what_the_readme_shows_is_typed(generated: Path, tmp_path: Path) -> None:
    blocks = _BLOCK.findall(README.read_text("utf-8"))
    assert len(blocks) >= 4
    (tmp_path / "readme.py").write_text("\n\n".join(block.replace("asyncio.run(main())", "") for block in blocks))
    environment = {**os.environ, "MYPYPATH": os.pathsep.join([str(generated), str(ROOT / "clients/python")])}
    flags = ["--strict", "--namespace-packages", "--explicit-package-bases", "--cache-dir", str(tmp_path / "cache")]
    command = [sys.executable, "-m", "mypy", *flags, "readme.py"]
    check = subprocess.run(
        command, capture_output=True, text=True, timeout=110, check=False, env=environment, cwd=tmp_path
    )
    # Stubs that protoc writes are not strict; they are not what is tested here.
    assert [line for line in check.stdout.splitlines() if line.startswith("readme.py")] == [], check.stdout
    assert "readme.py" in check.stdout or "checked 1 source file" in check.stdout, check.stdout + check.stderr
