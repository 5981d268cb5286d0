"""The Go client against a running system: the shared table, its own tests, and faults in mid-stream.

One module is generated for all flows of the system; Go builds it once.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.conformance import testee
from tests.conformance.matching import differences
from tests.conformance.table import Case, load_cases
from tests.e2e.conftest import EXECUTORS
from tests.e2e.system import System
from tests.go_module import client_source, go_plugins, write_module
from tests.go_toolchain import MODULE, Go, go_toolchain

from promptflow_codegen.emit.go_names import RUNTIME_MODULE, facade_folder
from promptflow_codegen.generate import generate
from promptflow_codegen.languages.go import GoLanguage
from promptflow_codegen.plan import FlowPlan
from promptflow_codegen.project import Project
from promptflow_core.registry import ExecutorRegistry

pytestmark = [pytest.mark.processes, pytest.mark.timeout(300)]

HERE = Path(__file__).parent
GENERATED = "example.com/e2e"
CASES = [pytest.param(case, id=case.id) for case in load_cases() if "go" in case.transports]


@dataclass(frozen=True, slots=True)
class Module:
    """The generated module, and the conformance program that was built of it."""

    go: Go
    folder: Path
    program: Path


def main_source(plans: Sequence[FlowPlan]) -> str:
    """The conformance program for some flows."""
    imports = [f'\t{plan.name}_v{plan.version} "{GENERATED}/{facade_folder(plan)}"' for plan in plans]
    named = [(plan, f"{plan.name}_v{plan.version}") for plan in plans]
    entries = [
        f'\t\tconformance.Key("{plan.name}", {plan.version}): conformance.For(conn, {name}.New(conn)),'
        for plan, name in named
    ]
    return "\n".join(
        [
            "package main",
            "import (",
            '\t"log"',
            '\t"os"',
            f'\t"{RUNTIME_MODULE}/conformance"',
            f'\t"{RUNTIME_MODULE}/promptflow"',
            *imports,
            ")",
            "func main() {",
            "\tconn, err := promptflow.Dial(os.Args[len(os.Args)-1])",
            "\tif err != nil { log.Fatal(err) }",
            "\tflows := map[string]conformance.Flow{",
            *entries,
            "\t}",
            "\tif err := conformance.Serve(os.Stdin, os.Stdout, flows); err != nil { log.Fatal(err) }",
            "}",
            "",
        ]
    )


@pytest.fixture(scope="session")
def module(system: System, tmp_path_factory: pytest.TempPathFactory) -> Module:
    """Generate, and build, a module of the system's flows."""
    go, root = go_toolchain(), tmp_path_factory.mktemp("go")
    catalog = ExecutorRegistry.load(EXECUTORS.split(",")).catalog()
    project = Project.at(system.project)
    source = client_source(project, generate(project, catalog), GENERATED)
    folder = write_module(GoLanguage().generate(source, go_plugins(go, root / "bin")), root / "module")
    (folder / "main.go").write_text(main_source(source.plans))
    for path in (HERE / "go").glob("*.go"):
        shutil.copy(path, folder)
    program = root / "bin" / "conformance"
    go.run("mod", "tidy", cwd=folder)
    go.run("build", "-o", str(program), ".", cwd=folder)
    return Module(go, folder, program)


class Programs:
    """The conformance program, one per address, for as long as the loop that started them."""

    def __init__(self, module: Module, system: System) -> None:
        self._module = module
        self.addresses = {"server": system.grpc, "gateway": system.edge}

    async def run_case(self, case: Case, address: str) -> list[str]:
        """What is not as the case expects."""
        command = [str(self._module.program)]
        async with testee.testee(command, self.addresses[address], os.environ) as program:
            return differences(case, await program.run_case(case))


@pytest.fixture(scope="session")
def programs(module: Module, system: System) -> Programs:
    return Programs(module, system)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("address", ["server", "gateway"])
async def test_the_go_client_meets_the_table(programs: Programs, case: Case, address: str) -> None:
    assert await programs.run_case(case, address) == []


@pytest.mark.parametrize("address", ["server", "gateway"])
def test_the_go_client_passes_its_own_tests(module: Module, system: System, address: str) -> None:
    targets = {"server": system.grpc, "gateway": system.edge}
    env = {"PROMPTFLOW_ADDRESS": targets[address], "PROMPTFLOW_SAMPLES": str(MODULE.parents[1] / "samples")}
    assert_all_ran(module.go.run("test", "-json", "-count=1", "-parallel=8", ".", cwd=module.folder, env=env))


def test_a_stream_in_go_outlives_the_server_that_serves_it(module: Module, system: System) -> None:
    pids = system.pids("server")
    assert pids
    env = {"PROMPTFLOW_ADDRESS": system.edge, "PROMPTFLOW_SERVER_PIDS": " ".join(map(str, pids))}
    run = ("test", "-json", "-count=1", "-run", "TestAStreamOutlivesTheServer", ".")
    assert_all_ran(module.go.run(*run, cwd=module.folder, env=env))
    assert set(system.pids("server")).isdisjoint(pids)


def assert_all_ran(output: str) -> None:
    """Something was tested, and nothing was skipped."""
    events: list[Mapping[str, Any]] = [json.loads(line) for line in output.splitlines()]
    actions = {event["Test"]: event["Action"] for event in events if "Test" in event}
    assert actions, output
    assert {name for name, action in actions.items() if action != "pass"} == set(), output
