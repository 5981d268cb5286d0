"""Runs from start to end, on real dispatch and a real Valkey."""

from __future__ import annotations

from pathlib import Path

from tests.unit.server.engine.plans import flow, step
from tests.unit.server.engine.processes import EngineProcess, worker_process

from promptflow_core.records import EventKind, ExecutionStatus


async def test_a_run_ends_with_a_result_and_dense_events(engine: EngineProcess) -> None:
    plan = flow(step("greet", "hi {{ inputs.text }}"), step("again", "{{ steps.greet.value }}!"))
    run, events = await engine.run(plan, text="you")
    assert run.status is ExecutionStatus.COMPLETED
    assert run.result == {"greet": {"value": "hi you"}, "again": {"value": "hi you!"}}
    assert [(event.sequence, event.kind) for event in events] == [
        (1, EventKind.ACCEPTED),
        (2, EventKind.STARTED),
        (3, EventKind.STEP_STARTED),
        (4, EventKind.STEP_COMPLETED),
        (5, EventKind.STEP_STARTED),
        (6, EventKind.STEP_COMPLETED),
        (7, EventKind.DONE),
    ]
    assert run.sequence == 7
    assert run.server == engine.server_id


async def test_a_step_of_a_pool_runs_in_a_worker(engine: EngineProcess, redis_url: str, tmp_path: Path) -> None:
    async with worker_process(redis_url, tmp_path, "echoes"):
        run, _ = await engine.run(
            flow(step("far", "{{ inputs.text }}", executor="pool_echo", queue="echoes")), text="x"
        )
    assert run.result == {"far": {"value": "x"}}
    assert run.steps["far"].worker not in ("", engine.server_id)
