"""OpenAPI as the gateway serves it: valid, true to what the server does, and shown on a page."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator, OpenAPIV32SpecValidator
from tests.e2e.system import ROOT, System
from tests.ts_toolchain import CHROMIUM_FLAGS, find_chromium

from promptflow_codegen.bundle import load_bundle
from promptflow_codegen.emit.openapi import OPENAPI

NOBODYS = "00000000-0000-4000-8000-000000000000"

pytestmark = [pytest.mark.processes, pytest.mark.timeout(120)]


def test_the_document_is_served_as_the_bundle_has_it_and_is_valid(system: System) -> None:
    answer = httpx.get(f"{system.http}/openapi.json")
    assert answer.headers["content-type"] == "application/json"
    assert answer.content == load_bundle(system.project / ".promptflow" / "bundles").documents[OPENAPI]
    OpenAPIV31SpecValidator(answer.json()).validate()


def test_the_newer_version_is_valid_and_tells_of_the_same_paths(system: System) -> None:
    newer = httpx.get(f"{system.http}/openapi-3.2.json").json()
    OpenAPIV32SpecValidator(newer).validate()
    assert newer["paths"].keys() == httpx.get(f"{system.http}/openapi.json").json()["paths"].keys()


def test_every_path_of_the_document_leads_to_a_method_that_answers(system: System) -> None:
    document = httpx.get(f"{system.http}/openapi.json").json()
    astray: list[str] = []
    for path, item in document["paths"].items():
        for verb, operation in item.items():
            body = None if verb == "get" else {"no_such_input": 1}
            url = f"{system.http}{path.format(execution_id=NOBODYS)}"
            answer = httpx.request(verb, url, json=body, timeout=30)
            told = {detail.get("reason") for detail in answer.json()["details"]} if answer.is_error else {"OK"}
            if not told & {"OK", "EXECUTION_NOT_FOUND", "INVALID_INPUT"}:
                astray.append(f"{operation['operationId']}: {answer.status_code} {answer.text[:200]}")
    assert astray == []


def test_the_page_and_all_its_parts_are_served_from_here(system: System) -> None:
    page = httpx.get(f"{system.http}/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "script-src 'self'" in page.headers["content-security-policy"]
    assert httpx.get(f"{system.http}/").content == page.content
    for part in ("swagger-ui-bundle.js", "swagger-ui.css", "docs.js", "docs.css"):
        answer = httpx.get(f"{system.http}/docs/{part}")
        assert (part, answer.status_code) == (part, 200)
        assert f"/docs/{part}" in page.text
        assert answer.headers["content-type"].startswith("text/")
    assert "http://" not in page.text
    assert "https://" not in page.text


def test_a_browser_shows_every_operation_without_another_host(system: System, tmp_path: Path) -> None:
    chromium, environment = find_chromium(tmp_path)
    hosts = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
    command = [str(chromium), "--headless", *CHROMIUM_FLAGS, hosts, f"--user-data-dir={tmp_path / 'profile'}"]
    command += ["--virtual-time-budget=15000", "--dump-dom", f"{system.http}/docs"]
    shown = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True).stdout
    document = httpx.get(f"{system.http}/openapi.json").json()
    operations = sum(len(item) for item in document["paths"].values())
    assert shown.count('class="opblock ') == operations
    assert "Reads a page, labels each sentence" in shown


def test_a_part_that_the_page_does_not_have_is_not_found(system: System) -> None:
    for path in ("/docs/nothing.js", "/docs/..%2f..%2fapp.py", "/docs/servicer.py"):
        assert httpx.get(f"{system.http}{path}").status_code in (400, 404)


def test_requests_made_up_from_the_document_meet_a_server_that_does_as_it_says(system: System, tmp_path: Path) -> None:
    """What fits is taken, what does not is refused, answers have the promised shape, runs are found by links."""
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{system.http}/openapi.json"]
    command += ["--include-path-regex", "/(sentiment-analysis|every-type|executions|flows)(/|$)"]
    command += ["--phases", "examples,coverage,fuzzing,stateful", "--max-examples", "10"]
    command += ["--generation-deterministic", "--continue-on-failure", "--no-color", "--max-failures", "20"]
    # Envoy itself refuses the method QUERY, with 400; the methods that it passes on have a test below.
    command += ["--exclude-checks", "unsupported_method"]
    hooks = {**os.environ, "PYTHONPATH": str(ROOT), "SCHEMATHESIS_HOOKS": "tests.e2e.made_up_requests"}
    ended = subprocess.run(command, cwd=tmp_path, env=hooks, capture_output=True, text=True, timeout=100, check=False)
    assert ended.returncode == 0, ended.stdout[-8000:] + ended.stderr[-2000:]


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "TRACE"])
def test_a_method_that_no_path_has_is_named_as_the_mistake(system: System, method: str) -> None:
    answer = httpx.request(method, f"{system.http}/api/v1/sentiment-analysis/execute")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, POST, OPTIONS")
    assert answer.json()["code"] == 12
