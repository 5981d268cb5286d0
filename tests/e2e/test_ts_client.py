"""The TypeScript client against a running system: in Node by gRPC and grpc-web, and in a real Chromium."""

from __future__ import annotations

import json
import subprocess
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path

import pytest
import pytest_asyncio
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from tests.conformance.matching import differences
from tests.conformance.table import Case, load_cases
from tests.conformance.testee import Testee
from tests.conformance.testee import testee as running_testee
from tests.e2e.system import ROOT, System, copy_project, running_system
from tests.ts_toolchain import (
    CHROMIUM_FLAGS,
    CLIENT,
    built_client,
    compile_ts,
    environment,
    find_chromium,
    flow_sources,
    node,
    npm,
    run,
    write_package,
)

from promptflow_codegen.generate import generate
from promptflow_codegen.project import Project
from promptflow_core.registry import ExecutorRegistry

# The first test installs and builds what all of them need.
pytestmark = [pytest.mark.processes, pytest.mark.timeout(300)]

CASES = [pytest.param(case, id=case.id) for case in load_cases() if "ts" in case.transports]
PROTOCOLS = ("grpc", "grpc-web")
EXECUTORS = tuple(f"tests.e2e.executors:{name}" for name in ("Nap", "Flaky", "Stranded"))
LETTER = ROOT / "samples" / "letter.jpg"


def address_of(system: System, protocol: str) -> str:
    """gRPC to the server itself, grpc-web through the gateway."""
    return system.grpc if protocol == "grpc" else system.edge


@pytest.fixture(scope="module")
def flows(system: System, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled client package of the system's own flows, as a user generates it."""
    project = Project.at(system.project)
    catalog = ExecutorRegistry.load(EXECUTORS).catalog()
    made = generate(project, catalog)
    assert made.bundle is not None, made.diagnostics
    descriptors = FileDescriptorSet.FromString(made.bundle.descriptors)
    folder = tmp_path_factory.mktemp("ts-flows")
    compile_ts(write_package(folder, flow_sources(descriptors, made.bundle.plans, project)))
    return folder / "dist"


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=PROTOCOLS)
async def client(request: pytest.FixtureRequest, system: System, flows: Path) -> AsyncGenerator[Testee]:
    """One program for all cases of a protocol."""
    program = built_client() / "dist" / "test" / "testee.js"
    command = [str(node()), str(program), str(flows), request.param]
    async with running_testee(command, address_of(system, request.param), environment()) as found:
        yield found


@pytest.mark.parametrize("case", CASES)
@pytest.mark.asyncio(loop_scope="module")
async def test_the_typescript_client_meets_the_table(client: Testee, case: Case) -> None:
    assert differences(case, await client.run_case(case)) == []


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_everything_that_the_client_does_it_does_against_a_real_server(system: System, protocol: str) -> None:
    run_suite("surface", {"PROMPTFLOW_ADDRESS": address_of(system, protocol), "PROMPTFLOW_PROTOCOL": protocol})


def test_a_stream_survives_the_death_of_the_server(tmp_path: Path) -> None:
    built_client()
    with running_system(copy_project(tmp_path / "none", tmp_path / "project"), executors="") as own:
        for protocol in PROTOCOLS:
            server = own.pids("server")[0]
            address = address_of(own, protocol)
            settings = {
                "PROMPTFLOW_ADDRESS": address,
                "PROMPTFLOW_PROTOCOL": protocol,
                "PROMPTFLOW_SERVER": str(server),
            }
            run_suite("fault", settings)


def run_example(name: str, *arguments: str | Path, text: str = "") -> list[str]:
    """What an example prints, line by line."""
    program = built_client() / "dist" / "examples" / f"{name}.js"
    done = subprocess.run(
        [node(), program, *arguments],
        input=text.encode(),
        env=environment(),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr.decode()) == (0, "")
    return done.stdout.decode().splitlines()


def test_the_examples_run(system: System) -> None:
    lines = run_example("read_a_page", LETTER, system.grpc)
    assert lines[0] == "ocr …"
    assert any("The desk is wonderful" in line for line in lines)
    assert lines[-1] == "mood: mixed"
    judged = run_example("judge_many", system.grpc, text="I love this!\n\nIt broke at once.\n")
    assert judged == ["positive: I love this!", "negative: It broke at once."]
    (execution_id,) = run_example("start_and_collect", "start", "I love this!", system.grpc)
    assert run_example("start_and_collect", "collect", execution_id, system.grpc) == ["positive"]
    assert run_example("start_and_collect", "list", system.grpc)[0] == f"{execution_id} COMPLETED"


def test_the_package_has_what_its_users_need_and_no_tests() -> None:
    built_client()
    said = run([*npm(), "pack", "--dry-run", "--json", "--silent", "--ignore-scripts"], CLIENT)
    names = {file["path"] for file in json.loads(said)[0]["files"]}
    assert {"LICENSE", "README.md", "dist/index.js", "dist/index.d.ts", "examples/judge_many.ts"} <= names
    assert not any(name.startswith(("dist/test/", "dist/examples/", "test/", "node_modules/")) for name in names)


def run_suite(name: str, settings: Mapping[str, str]) -> None:
    """One file of tests in Node, on a running system."""
    suite = built_client() / "dist" / "test" / "e2e" / f"{name}.test.js"
    done = subprocess.run(
        [node(), "--test", "--test-reporter=spec", suite],
        env={**environment(), "PROMPTFLOW_PAGE": str(LETTER), **settings},
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout.decode("utf-8", "replace")[-12000:]


def test_a_page_in_a_browser_runs_a_flow_through_the_gateway_and_survives_cuts(system: System, tmp_path: Path) -> None:
    test = built_client() / "dist" / "test" / "browser"
    bundler = built_client() / "node_modules" / "esbuild" / "bin" / "esbuild"
    run(
        [node(), bundler, test / "page.js", "--bundle", "--format=esm", "--platform=browser", f"--outdir={tmp_path}"],
        tmp_path,
    )
    chromium, env = find_chromium(tmp_path)
    screenshot = tmp_path / "page.png"
    done = subprocess.run(
        [node(), test / "drive.js", chromium, system.edge, tmp_path, LETTER, screenshot, *CHROMIUM_FLAGS],
        env=env,
        capture_output=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode("utf-8", "replace")
    found = json.loads(done.stdout)
    assert "failed" not in found, found
    # A browser tells of each connection that is cut; nothing else may go wrong.
    wrong = [line for line in found["said"] if line.startswith(("error", "warning")) and "net::ERR_" not in line]
    assert (found["errors"], wrong, found["keys"]) == ([], [], ["of a test"])
    assert found["label"] == "positive"
    assert found["refused"].startswith("EXECUTION_NOT_FOUND: ")
    assert found["sequences"] == list(range(1, len(found["sequences"]) + 1))
    assert (found["cuts"], found["mood"]) == (2, "mixed")
    assert "a path can be read in Node alone" in found["path"]
    assert screenshot.stat().st_size > 5_000
