"""The shared table of cases against a running system, by every way that leads into it."""

from __future__ import annotations

import httpx
import pytest
from tests.conformance import http_runner, python_runner
from tests.conformance.matching import differences
from tests.conformance.table import Case, load_cases
from tests.e2e.system import System

from promptflow_client import PromptFlowBase

pytestmark = [pytest.mark.processes, pytest.mark.timeout(60)]

CASES = load_cases()


def cases_for(transport: str) -> list[object]:
    """The cases of one transport, named for reports."""
    return [pytest.param(case, id=case.id) for case in CASES if transport in case.transports]


@pytest.mark.parametrize("case", cases_for("python"))
async def test_the_python_client_meets_the_table(system: System, case: Case) -> None:
    async with PromptFlowBase(system.grpc) as promptflow:
        assert differences(case, await python_runner.run_case(case, promptflow)) == []


@pytest.mark.parametrize("case", cases_for("python"))
async def test_the_python_client_meets_the_table_through_the_gateway(system: System, case: Case) -> None:
    async with PromptFlowBase(system.edge) as promptflow:
        assert differences(case, await python_runner.run_case(case, promptflow)) == []


@pytest.mark.parametrize("case", cases_for("http"))
async def test_json_over_http_meets_the_table(system: System, case: Case) -> None:
    async with httpx.AsyncClient(base_url=system.http, timeout=50) as http:
        assert differences(case, await http_runner.run_case(case, http)) == []


@pytest.mark.parametrize("case", cases_for("multipart"))
async def test_forms_meet_the_table(system: System, case: Case) -> None:
    async with httpx.AsyncClient(base_url=system.http, timeout=50) as http:
        assert differences(case, await http_runner.run_case_as_form(case, http)) == []
