"""Flows whose steps run flows, in a running system: what kill -9, a cancel, failures and both faces make of them."""

from __future__ import annotations

import os
import signal
import time
from importlib import import_module
from typing import Any

import httpx
import pytest
from tests.e2e.system import System
from tests.e2e.test_faults import Watched, follow, start

from promptflow_client import InvalidArgumentError, PromptFlowBase, StepCompleted, StepStarted, StepStatus

pytestmark = [pytest.mark.processes, pytest.mark.timeout(90)]

SLEEPERS = {"inner/left", "inner/right"}


def run(system: System, flow: str, **inputs: object) -> httpx.Response:
    """Run a flow and wait for its end."""
    body = {**inputs, "execution_mode": "SYNC"}
    return httpx.post(f"{system.http}/api/v1/{flow}/execute", json=body, timeout=30)


def error_info(answer: httpx.Response) -> dict[str, Any]:
    """The ErrorInfo of a failed run."""
    info: dict[str, Any] = next(one for one in answer.json()["details"] if one["@type"].endswith("ErrorInfo"))
    return info


@pytest.mark.parametrize("role", ["worker", "server"])
def test_a_process_killed_inside_an_inner_step_costs_no_recorded_step(system: System, role: str) -> None:
    execution_id = start(system, "relay", {"seconds": 2.0, "note": role})
    watched, sleeping, killed = Watched([]), set[str](), list[int]()
    for event in follow(system, "relay", execution_id):
        watched.events.append(event)
        sleeping.add(event.get("step_progress", {}).get("step", ""))
        if not killed and sleeping >= SLEEPERS:
            killed = system.pids(role)
            for pid in killed:
                os.kill(pid, signal.SIGKILL)
    assert killed
    stored = [event["sequence"] for event in watched.events if event.get("sequence")]
    assert stored == list(range(1, len(stored) + 1))
    completed = [event["step_completed"]["step"] for event in watched.events if "step_completed" in event]
    assert completed.count("before") == 1
    assert sorted(completed) == ["after", "before", "inner", "inner/both", *sorted(SLEEPERS)]
    assert watched.execution["result"]["after"]["value"] == f"left {role}, right {role}"


def test_a_cancel_reaches_the_calls_of_an_inner_flow(system: System) -> None:
    execution_id = start(system, "relay", {"seconds": 8.0, "note": "cancel"})
    begun = time.monotonic()
    for event in follow(system, "relay", execution_id):
        if event.get("step_progress", {}).get("step") in SLEEPERS:
            httpx.post(f"{system.http}/api/v1/relay/cancel/{execution_id}", json={}, timeout=10).raise_for_status()
    assert event["done"]["status"] == "CANCELLED"
    assert event["done"]["steps"]["inner"]["state"]["status"] == "CANCELLED"
    assert time.monotonic() - begun < 6


def test_an_inner_failure_says_where_it_happened(system: System) -> None:
    info = error_info(run(system, "stubborn", failures=9))
    told = {key: info["metadata"][key] for key in ("step", "attempt", "flow", "source", "line")}
    assert told == {
        "step": "hard@2/flaky",
        "attempt": "3",
        "flow": "attempts",
        "source": "flows/attempts.yaml",
        "line": "6",
    }


def test_a_step_is_tried_again_with_all_that_is_in_its_flow(system: System) -> None:
    execution_id = start(system, "stubborn", {"failures": 9})
    events = list(follow(system, "stubborn", execution_id))
    started = [(one["step_started"]["step"], one["step_started"]["attempt"]) for one in events if "step_started" in one]
    assert started == [
        *[("hard", 1), ("hard/flaky", 1), ("hard/flaky", 2), ("hard/flaky", 3)],
        *[("hard", 2), ("hard@2/flaky", 1), ("hard@2/flaky", 2), ("hard@2/flaky", 3)],
    ]


def test_what_the_inner_flow_refuses_is_named(system: System) -> None:
    answer = run(system, "party", host="grace")
    assert answer.status_code == 400
    assert error_info(answer)["reason"] == "INVALID_INPUT"
    assert "flow `greet` refuses its inputs: `name`" in answer.json()["message"]


def test_an_absent_input_takes_the_default_of_the_inner_flow(system: System) -> None:
    result = run(system, "party", host="Grace", is_quiet=True).json()["result"]
    assert result == {"welcome": {"line": "Hello, Grace", "letters": "12", "flow": "greet"}, "guests": []}


async def test_the_python_client_reads_inner_events_and_typed_results(system: System) -> None:
    async with PromptFlowBase(system.grpc) as promptflow:
        party: Any = import_module("promptflow_api.flows.party.v1.client").PartyClient(promptflow)
        events: list[Any] = [event async for event in party.stream(host="Grace", guests=["Ada"])]
        started = {event.step for event in events if isinstance(event, StepStarted)}
        assert started >= {"welcome", "welcome/line", "welcome/letters", "guests", "toast"}
        (welcome,) = [one for one in events if isinstance(one, StepCompleted) and one.step == "welcome"]
        assert welcome.output is not None
        assert welcome.output.line == "Hello, Grace"
        assert all(one.output is None for one in events if isinstance(one, StepCompleted) and "/" in one.step)
        done = events[-1].execution
        assert [item.output.line for item in done.steps.guests.items] == ["Hi, Ada"]
        assert done.steps.guests.state.status is StepStatus.COMPLETED
        with pytest.raises(InvalidArgumentError):
            await party.run(host="x")
