"""Batches, plans, lists, masks and compression as REST callers meet them, through Envoy and the whole system."""

from __future__ import annotations

import gzip
import json
from typing import Any

import httpx
import pytest
from tests.e2e.system import System

pytestmark = [pytest.mark.processes, pytest.mark.timeout(60)]

SYNC = {"execution_mode": "SYNC"}
JSON = {"content-type": "application/json"}


@pytest.fixture
def http(system: System) -> Any:
    with httpx.Client(base_url=f"{system.http}/api/v1", timeout=20) as client:
        yield client


def violations(answer: httpx.Response) -> dict[str, str]:
    assert (answer.status_code, answer.json()["code"]) == (400, 3), answer.text
    (found,) = (detail for detail in answer.json()["details"] if "field_violations" in detail)
    return {each["field"]: each["description"] for each in found["field_violations"]}


def test_a_batch_answers_each_request(http: httpx.Client) -> None:
    requests = [{"text": "urgent!", **SYNC}, {"txet": "x"}, {"text": "no hurry"}]
    answer = http.post("/conditional-processing/execute/batch", json={"requests": requests})
    first, second, third = answer.json()["outcomes"]
    assert first["execution"]["result"]["route_decision"]["path"] == "a"
    assert second["error"]["code"] == 3
    assert third["execution"]["status"] == "QUEUED"
    none = http.post("/conditional-processing/execute/batch", json={"requests": []})
    assert violations(none) == {"requests": "a batch takes 1 to 1000 requests, not 0"}


def test_a_plan_tells_the_steps_in_order(http: httpx.Client) -> None:
    plan = http.post("/conditional-processing/plan", json={"text": "urgent!"}).json()
    steps = {step["step"]: step for step in plan["steps"]}
    decide = steps["route_decision"]
    assert (decide["stage"], decide["decision"], decide["queue"]) == (0, "RUNS", "")
    assert {steps[name]["decision"] for name in ("path_a", "path_b")} == {"UNDECIDED"}
    assert steps["path_a"]["needs"] == ["route_decision"]
    assert violations(http.post("/conditional-processing/plan", json={"txet": "x"})).keys() == {"text", "txet"}


def test_lists_are_paged_to_the_end(http: httpx.Client) -> None:
    started = [http.post("/attempts/execute", json={"failures": 0, **SYNC}).json()["execution_id"] for _ in range(5)]
    seen: list[str] = []
    query: dict[str, Any] = {"flow": "attempts", "page_size": 2}
    while True:
        page = http.get("/executions", params=query).json()
        seen += [run["execution_id"] for run in page["executions"]]
        if not page["next_page_token"]:
            break
        query["page_token"] = page["next_page_token"]
    assert seen[:5] == started[::-1]
    assert len(set(seen)) == len(seen)
    assert violations(http.get("/executions", params={"page_token": "x"})).keys() == {"page_token"}


def test_a_watch_is_cut_by_its_mask(http: httpx.Client) -> None:
    run = http.post("/attempts/execute", json={"failures": 0, **SYNC}).json()
    query = {"read_mask": "status,result"}
    answer = http.get(
        f"/attempts/watch/{run['execution_id']}", params=query, headers={"accept": "application/x-ndjson"}
    )
    done = json.loads(answer.text.splitlines()[-1])["done"]
    assert set(done) == {"execution_id", "status", "result"}
    wrong = http.get(f"/attempts/watch/{run['execution_id']}", params={"read_mask": "nothing"})
    assert violations(wrong).keys() == {"read_mask"}


def test_bodies_may_come_packed_and_large_answers_go_packed(http: httpx.Client) -> None:
    body = gzip.compress(json.dumps({"requests": [{"text": "urgent! " * 20, **SYNC}] * 20}).encode())
    headers = {**JSON, "content-encoding": "gzip", "accept-encoding": "gzip"}
    answer = http.post("/conditional-processing/execute/batch", content=body, headers=headers)
    assert len(answer.json()["outcomes"]) == 20
    assert answer.headers["content-encoding"] == "gzip"
    refused = http.post("/conditional-processing/execute", content=body, headers={**JSON, "content-encoding": "br"})
    assert "content-encoding `br` is not supported" in refused.json()["message"]


@pytest.mark.parametrize("accept", ["text/event-stream", "application/x-ndjson", "application/json"])
def test_events_never_go_packed(http: httpx.Client, accept: str) -> None:
    headers = {"accept": accept, "accept-encoding": "gzip"}
    answer = http.post("/attempts/execute/stream", json={"failures": 0}, headers=headers)
    assert (answer.status_code, answer.headers.get("content-encoding")) == (200, None)


def test_an_idempotency_key_names_the_run(http: httpx.Client) -> None:
    headers = {"idempotency-key": "an order of the e2e tests"}
    first, second = (http.post("/attempts/execute", json={"failures": 0}, headers=headers).json() for _ in range(2))
    assert first["execution_id"] == second["execution_id"]
