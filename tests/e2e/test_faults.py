"""What a person with `kill -9` can do to a running system."""

from __future__ import annotations

import os
import signal
import threading
import time

import httpx
import pytest
from tests.e2e.system import System

pytestmark = [pytest.mark.processes, pytest.mark.timeout(90)]


def start(system: System, flow: str, inputs: dict[str, object]) -> str:
    """Start a run and give its id."""
    answer = httpx.post(f"{system.http}/api/v1/{flow}/execute", json=inputs, timeout=10)
    answer.raise_for_status()
    return str(answer.json()["execution_id"])


def status(system: System, flow: str, execution_id: str) -> dict[str, object]:
    """The run as it stands."""
    answer = httpx.get(f"{system.http}/api/v1/{flow}/status/{execution_id}", timeout=10)
    answer.raise_for_status()
    execution: dict[str, object] = answer.json()
    return execution


def wait_for(system: System, flow: str, execution_id: str, wanted: set[str], within_s: float) -> dict[str, object]:
    """Poll until the status is one of `wanted`."""
    deadline = time.monotonic() + within_s
    while (execution := status(system, flow, execution_id))["status"] not in wanted:
        assert time.monotonic() < deadline, execution
        time.sleep(0.1)
    return execution


def wait_until_running(system: System, execution_id: str) -> None:
    """Poll until both naps sleep in a worker."""
    deadline = time.monotonic() + 10
    while True:
        steps = status(system, "naps", execution_id)["steps"]
        assert isinstance(steps, dict)
        if all(steps[name]["state"]["status"] == "RUNNING" for name in ("left", "right")):
            return
        assert time.monotonic() < deadline, steps
        time.sleep(0.05)


def test_a_worker_killed_in_mid_step_loses_no_execution(system: System) -> None:
    execution_id = start(system, "naps", {"seconds": 2.0, "note": "kill"})
    wait_until_running(system, execution_id)
    for pid in system.pids("worker"):
        os.kill(pid, signal.SIGKILL)
    execution = wait_for(system, "naps", execution_id, {"COMPLETED", "FAILED"}, within_s=60)
    assert execution["status"] == "COMPLETED", execution
    assert execution["result"]["both"]["notes"] == ["left kill", "right kill"]  # type: ignore[index]


def test_a_server_killed_in_mid_run_loses_no_execution(system: System) -> None:
    execution_id = start(system, "naps", {"seconds": 2.0, "note": "server"})
    wait_until_running(system, execution_id)
    for pid in system.pids("server"):
        os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 60
    while True:
        try:
            execution = status(system, "naps", execution_id)
        except httpx.HTTPError:
            execution = {"status": "unreachable"}
        if execution["status"] in {"COMPLETED", "FAILED"}:
            break
        assert time.monotonic() < deadline, execution
        time.sleep(0.1)
    assert execution["status"] == "COMPLETED", execution


def test_a_cancel_ends_a_run_whose_step_sleeps_in_a_worker(system: System) -> None:
    execution_id = start(system, "naps", {"seconds": 30.0, "note": "cancel"})
    wait_until_running(system, execution_id)
    answer = httpx.post(f"{system.http}/api/v1/naps/cancel/{execution_id}", json={}, timeout=10)
    assert answer.status_code == 200, answer.text
    execution = wait_for(system, "naps", execution_id, {"CANCELLED", "COMPLETED", "FAILED"}, within_s=10)
    assert execution["status"] == "CANCELLED"


def test_requests_at_once_all_end(system: System) -> None:
    outcomes: list[int] = []

    def run(number: int) -> None:
        body = {"seconds": 0.01, "note": str(number), "execution_mode": "SYNC"}
        outcomes.append(httpx.post(f"{system.http}/api/v1/naps/execute", json=body, timeout=60).status_code)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == [200] * 40
