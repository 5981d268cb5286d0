"""What a person with `kill -9` can do to a running system."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from tests.e2e.system import System, processes_naming

pytestmark = [pytest.mark.processes, pytest.mark.timeout(90)]


def start(system: System, flow: str, inputs: dict[str, object]) -> str:
    """Start a run and give its id."""
    answer = httpx.post(f"{system.http}/api/v1/{flow}/execute", json=inputs, timeout=10)
    answer.raise_for_status()
    return str(answer.json()["execution_id"])


@dataclass
class Watched:
    """The events of a run, read by a client that resumes."""

    events: list[dict[str, Any]]

    def kinds(self) -> list[str]:
        """Kinds of the events, in order."""
        return [next(iter(set(event) - {"execution_id", "sequence", "time", "progress"})) for event in self.events]

    @property
    def execution(self) -> dict[str, Any]:
        """The run as `done` tells it."""
        done: dict[str, Any] = self.events[-1]["done"]
        return done


def follow(system: System, flow: str, execution_id: str) -> Iterator[dict[str, Any]]:
    """Events of a run as they happen, each stored one once, whatever dies meanwhile."""
    deadline = time.monotonic() + 60
    last = 0
    while time.monotonic() < deadline:
        url = f"{system.http}/api/v1/{flow}/watch/{execution_id}?after_sequence={last}"
        headers = {"accept": "application/x-ndjson"}
        try:
            with httpx.stream("GET", url, headers=headers, timeout=20) as response:
                for line in response.iter_lines() if response.status_code == 200 else ():
                    event: dict[str, Any] = json.loads(line)
                    last = int(event.get("sequence", 0)) or last
                    yield event
                    if "done" in event:
                        return
        except httpx.HTTPError:
            pass
    raise AssertionError(f"no `done` in time, the last sequence is {last}")


def watch_and_kill(system: System, role: str) -> tuple[Watched, list[int]]:
    """Run naps, kill every process of a role once both steps sleep in a worker, and watch to the end."""
    execution_id = start(system, "naps", {"seconds": 3.0, "note": role})
    watched, sleeping, killed = Watched([]), set[str](), list[int]()
    for event in follow(system, "naps", execution_id):
        watched.events.append(event)
        sleeping.add(event.get("step_progress", {}).get("step", ""))
        if not killed and sleeping >= {"left", "right"}:
            killed = system.pids(role)
            assert killed, f"no process is a {role}"
            for pid in killed:
                os.kill(pid, signal.SIGKILL)
    return watched, killed


def check_whole(watched: Watched) -> None:
    """Nothing is missing, nothing is there twice, the result is right."""
    stored = [event["sequence"] for event in watched.events if event.get("sequence")]
    assert stored == list(range(1, len(stored) + 1))
    assert watched.kinds().count("done") == 1
    completed = [event["step_completed"]["step"] for event in watched.events if "step_completed" in event]
    assert sorted(completed) == ["both", "left", "right"]
    assert watched.execution["status"] == "COMPLETED"


def test_a_worker_killed_in_mid_step_loses_no_execution(system: System) -> None:
    watched, killed = watch_and_kill(system, "worker")
    check_whole(watched)
    result = watched.execution["result"]
    assert result["both"]["notes"] == ["left worker", "right worker"]
    assert not {int(result[step]["pid"]) for step in ("left", "right")} & set(killed)


def test_a_server_killed_in_mid_run_loses_no_execution(system: System) -> None:
    watched, _ = watch_and_kill(system, "server")
    check_whole(watched)
    assert watched.execution["result"]["both"]["notes"] == ["left server", "right server"]


def test_a_cancel_ends_a_run_whose_step_sleeps_in_a_worker(system: System) -> None:
    execution_id = start(system, "naps", {"seconds": 8.0, "note": "cancel"})
    begun = time.monotonic()
    for event in follow(system, "naps", execution_id):
        if "step_progress" in event:
            answer = httpx.post(f"{system.http}/api/v1/naps/cancel/{execution_id}", json={}, timeout=10)
            assert answer.status_code == 200, answer.text
    assert event["done"]["status"] == "CANCELLED"
    assert time.monotonic() - begun < 6


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


def test_redis_comes_back_where_its_guard_was_killed(system: System) -> None:
    execution_id = start(system, "naps", {"seconds": 2.0, "note": "guard"})
    data = system.project / ".promptflow" / "redis"
    guards = processes_naming("redis_guard.py", str(data))
    assert guards
    for pid in guards:
        os.kill(pid, signal.SIGKILL)
    watched = Watched(list(follow(system, "naps", execution_id)))
    check_whole(watched)
