"""A client that knows nothing but reflection lists, describes and calls every flow."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.conformance.http_runner import json_of
from tests.conformance.matching import differences
from tests.conformance.table import Case, Outcome, load_cases
from tests.e2e.system import System
from tests.go_toolchain import go_toolchain

from promptflow_codegen.bundle import load_bundle
from promptflow_codegen.naming import kebab
from promptflow_codegen.plan import FlowPlan

pytestmark = [pytest.mark.processes, pytest.mark.timeout(240)]

GRPCURL = "github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.3"
WAYS = ("server", "gateway")
CASES = {case.flow: case for case in reversed(load_cases()) if case.result is not None and case.call == "run"}
"""The first case of each flow that gives a result."""


@pytest.fixture(scope="module")
def grpcurl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program, built once."""
    folder = tmp_path_factory.mktemp("grpcurl")
    go_toolchain().run("install", GRPCURL, cwd=folder, env={"GOBIN": str(folder)})
    return folder / "grpcurl"


def said(grpcurl: Path, system: System, way: str, *words: str, data: str = "") -> str:
    """What the program prints; it has to succeed."""
    target = system.edge if way == "gateway" else system.grpc
    options = ["-plaintext", "-max-time", "30", "-emit-defaults", *(["-d", "@"] if data else [])]
    command = [str(grpcurl), *options, target, *words]
    done = subprocess.run(command, input=data, capture_output=True, text=True, timeout=40, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def plans_of(system: System) -> tuple[FlowPlan, ...]:
    return load_bundle(system.project / ".promptflow" / "bundles").plans


@pytest.mark.parametrize("way", WAYS)
def test_every_flow_is_listed(grpcurl: Path, system: System, way: str) -> None:
    listed = set(said(grpcurl, system, way, "list").split())
    assert {f"{plan.package}.{plan.service}" for plan in plans_of(system)} <= listed
    assert {"promptflow_api.v1.ExecutionService", "promptflow_api.v1.FlowService"} <= listed


@pytest.mark.parametrize("way", WAYS)
def test_every_flow_is_described_with_its_inputs(grpcurl: Path, system: System, way: str) -> None:
    for plan in plans_of(system):
        service = said(grpcurl, system, way, "describe", f"{plan.package}.{plan.service}")
        assert "rpc ExecuteStream" in service
        request = said(grpcurl, system, way, "describe", f"{plan.package}.ExecuteRequest")
        assert [field.name for field in plan.inputs.fields if f" {field.name} = " not in request] == []


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("case", CASES.values(), ids=lambda case: case.flow)
def test_every_flow_runs(grpcurl: Path, system: System, way: str, case: Case) -> None:
    plan = next(plan for plan in plans_of(system) if (plan.name, plan.version) == (case.flow, case.version))
    inputs: Mapping[str, Any] = {name: json_of(value) for name, value in case.inputs.items()}
    request = json.dumps({**inputs, "execution_mode": "SYNC"})
    answer = said(grpcurl, system, way, f"{plan.package}.{plan.service}/Execute", data=request)
    execution = json.loads(answer)
    assert execution["status"] == "COMPLETED"
    assert differences(case.model_copy(update={"steps": None}), Outcome(result=snake_cased(execution["result"]))) == []


@pytest.mark.parametrize("way", WAYS)
def test_every_flow_is_started_with_the_example_of_its_openapi(grpcurl: Path, system: System, way: str) -> None:
    paths = httpx.get(f"{system.http}/openapi.json").json()["paths"]
    for plan in plans_of(system):
        operation = paths[f"/api/v{plan.version}/{kebab(plan.name)}/execute"]["post"]
        request = json.dumps(operation["requestBody"]["content"]["application/json"]["example"])
        answer = said(grpcurl, system, way, f"{plan.package}.{plan.service}/Execute", data=request)
        assert (plan.name, json.loads(answer)["status"]) == (plan.name, "QUEUED")


def snake_cased(value: Any) -> Any:
    """The names of a message's JSON as its proto has them."""
    if isinstance(value, dict):
        return {"".join(f"_{c.lower()}" if c.isupper() else c for c in key): snake_cased(v) for key, v in value.items()}
    return [snake_cased(item) for item in value] if isinstance(value, list) else value
