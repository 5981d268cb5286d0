"""Playbooks of runs whose steps run flows: paths, attempts, time, failures, and what a new owner makes of them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.unit.server.engine.executors import Gate
from tests.unit.server.engine.plans import ANY, call, callee, flow, step
from tests.unit.server.engine.playbook import Playbook, done, failed, progressed
from tests.unit.server.engine.processes import EngineProcess, engine_process, worker_process

from promptflow_codegen.plan import FlowPlan
from promptflow_core.errors import Reason
from promptflow_core.records import ExecutionStatus
from promptflow_core.retry import RetryPolicy
from promptflow_core.types import SCALARS, FieldType, ListType, ObjectType
from promptflow_core.values import FileRef
from promptflow_server.engine.run_state import MAX_LIVE
from promptflow_server.engine.transitions import CancelRequested

TWICE = RetryPolicy(max_attempts=2, initial_ms=100, max_ms=100)
TEXT = SCALARS["string"]

INNER = callee(
    "inner",
    step("read", "{{ inputs.text }}", queue="q"),
    step("sum", "{{ [steps.read.value, inputs.note, system.flow] }}", queue="q"),
    inputs=ObjectType((FieldType("text", TEXT, required=True), FieldType("note", TEXT, default="none"))),
    outputs={"value": "{{ steps.sum.value }}"},
    result=ObjectType((FieldType("value", ANY),)),
)


POOLED = callee(
    "pooled",
    step("far", "{{ inputs.text }}", executor="pool_echo", queue="echoes"),
    step("near", "{{ [steps.far.value] }}"),
    inputs=INNER.inputs,
    outputs={"near": "{{ steps.near }}"},
)


def calling(**fields: Any) -> FlowPlan:
    """A flow with a step that runs INNER, and one that reads what it gave."""
    config = fields.pop("config", {"text": "{{ inputs.text }}"})
    return flow(call("go", INNER, config, **fields), step("after", "{{ steps.go.value }}"))


def test_a_step_runs_a_flow_as_a_nested_part_of_the_run() -> None:
    play = Playbook(calling(), INNER, text="a").opened()
    assert play.events == ["started", "step_started go #1", "step_started go/read #1"]
    assert play.commands == ["start go/read #1 on q"]
    assert play.configs() == [{"value": "a"}]
    play.on(done("go/read", "r"))
    assert play.events == ["step_completed go/read #1", "step_started go/sum #1"]
    assert play.configs() == [{"value": ["r", "none", "inner"]}]
    play.on(done("go/sum", "s"))
    assert play.events == ["step_completed go/sum #1", "step_completed go #1", "step_started after #1"]
    assert play.configs() == [{"value": "s"}]
    play.on(done("after", 1))
    assert play.record.result == {"go": {"value": "s"}, "after": {"value": 1}}
    assert set(play.record.steps) == {"go", "go/read", "go/sum", "after"}


def test_only_the_outer_step_has_a_typed_output_in_its_event() -> None:
    play = Playbook(calling(), INNER, text="a").opened().on(done("go/read")).on(done("go/sum", "s"))
    assert play.last.commit is not None
    assert {event.step: event.output for event in play.last.commit.events if event.kind == "step_completed"} == {
        "go/sum": None,
        "go": {"value": "s"},
    }


def test_progress_counts_the_steps_inside() -> None:
    play = Playbook(calling(), INNER, text="a").opened()
    assert play.record.progress.running_steps == ("go",)
    play.on(progressed("go/read", 50))
    assert play.record.progress.percentage == 12.5
    play.on(done("go/read"))
    assert play.record.progress.percentage == 25


@pytest.mark.parametrize(
    ("inputs", "config", "told"),
    [
        ({}, {"text": "{{ inputs.text }}"}, {"go.text": "value is required"}),
        (
            {"count": 3},
            {"text": "{{ inputs.count }}", "note": [1]},
            {"go.text": "3 is no string", "go.note": "[1] is no string"},
        ),
    ],
)
def test_inputs_that_do_not_fit_fail_the_step_and_all_are_told(
    inputs: Mapping[str, Any], config: Mapping[str, Any], told: Mapping[str, str]
) -> None:
    play = Playbook(calling(config=config), INNER, **inputs).opened()
    assert play.events == ["started", "step_failed go #1 INVALID_INPUT", "done"]
    error = play.record.error
    assert error is not None
    assert {one.field: one.description for one in error.violations} == told
    assert "flow `inner` refuses its inputs" in error.message
    assert error.metadata["step"] == "go"


def test_an_inner_failure_is_the_outer_steps_and_says_where_it_happened() -> None:
    play = Playbook(calling(), INNER, text="a").opened().on(failed("go/read", Reason.CONFIG_INVALID))
    assert play.events == [
        "step_failed go/read #1 CONFIG_INVALID",
        "step_failed go #1 CONFIG_INVALID",
        "done",
    ]
    assert play.record.error is not None
    metadata = play.record.error.metadata
    told = ("step", "flow", "source", "line", "attempt", "called_at")
    assert [metadata[key] for key in told] == ["go/read", "inner", "flows/inner.yaml", "7", "1", "flows/sample.yaml:7"]


def test_every_call_on_the_way_to_a_failure_is_told_the_innermost_first() -> None:
    inner = callee("inner", step("x", "{{ inputs.text.nothing }}"))
    middle = callee("middle", call("go", inner, {"text": "a"}, line=3))
    play = Playbook(flow(call("all", middle, line=21)), inner, middle).opened()
    assert play.record.error is not None
    assert play.record.error.metadata["called_at"] == "flows/middle.yaml:3, flows/sample.yaml:21"


def test_a_template_that_fails_inside_names_the_inner_file() -> None:
    broken = callee("inner", step("x", "{{ inputs.text.nothing }}"), source="flows/inner.yaml")
    play = Playbook(flow(call("go", broken, {"text": "a"})), broken).opened()
    assert play.record.error is not None
    assert play.record.error.metadata["step"] == "go/x"
    assert play.record.error.metadata["source"] == "flows/inner.yaml"


def test_outputs_that_fail_inside_are_the_inner_flows_failure() -> None:
    broken = callee("inner", step("x", 1), outputs={"n": "{{ steps.x.value.nothing }}"}, output_lines={"n": 12})
    play = Playbook(flow(call("go", broken)), broken).opened().on(done("go/x", {}))
    assert play.record.status is ExecutionStatus.FAILED
    assert play.record.error is not None
    metadata = play.record.error.metadata
    told = ("step", "flow", "source", "line", "called_at")
    assert [metadata[key] for key in told] == ["go", "inner", "flows/inner.yaml", "12", "flows/sample.yaml:7"]


def test_a_retry_begins_everything_inside_anew_under_other_call_ids() -> None:
    play = Playbook(calling(retry=TWICE), INNER, text="a").opened().on(done("go/read"))
    play.on(failed("go/sum"))
    assert play.events == ["step_failed go/sum #1 EXECUTOR_FAILED", "step_retrying go #1 EXECUTOR_FAILED"]
    play.on(at=200)
    assert play.events == ["step_started go #2", "step_started go@2/read #1"]
    assert play.commands == ["start go@2/read #1 on q"]
    play.on(done("go/sum", "late"), at=210)
    assert (play.events, play.commands) == ([], ["ack go/sum #1"])
    play.on(done("go@2/read", "r"), at=220).on(done("go@2/sum", "s"), at=230)
    assert play.record.steps["go"].output == {"value": "s"}
    assert play.record.steps["go"].attempt == 2


def test_a_failure_cancels_what_else_runs_inside() -> None:
    inner = callee("inner", step("a", 1, queue="q"), step("b", 2, queue="q"))
    play = Playbook(flow(call("go", inner, retry=TWICE), step("other", 3, queue="q")), inner).opened()
    play.on(failed("go/a"))
    assert play.commands == ["ack go/a #1", "cancel go/b #1"]
    assert play.statuses == {"go": "RETRYING", "go/a": "FAILED", "go/b": "CANCELLED", "other": "RUNNING"}


def test_the_timeout_of_the_step_ends_what_runs_inside() -> None:
    play = Playbook(calling(timeout_ms=500), INNER, text="a").opened().on(at=500)
    assert play.events == ["step_failed go #1 STEP_TIMEOUT", "done"]
    assert play.commands == ["cancel go/read #1"]
    assert play.statuses == {"go": "FAILED", "go/read": "CANCELLED"}


def test_the_timeout_of_the_inner_flow_holds_too() -> None:
    hasty = callee("hasty", step("a", 1, queue="q"), timeout_ms=300)
    play = Playbook(flow(call("go", hasty, timeout_ms=9000)), hasty).opened()
    assert play.state.wake_at_ms == play.record.steps["go"].due_at_ms
    assert play.on(at=300).events == ["step_failed go #1 STEP_TIMEOUT", "done"]


@pytest.mark.parametrize(("step_ms", "run_ms", "expected"), [(500, 900, 500), (900, 500, 500), (None, 700, 700)])
def test_the_nearest_deadline_goes_with_an_inner_call(step_ms: int | None, run_ms: int, expected: int) -> None:
    play = Playbook(calling(timeout_ms=step_ms), INNER, timeout_ms=run_ms, text="a").opened()
    (command,) = play.last.commands
    assert command.call.deadline_at_ms == play.record.created_at_ms + expected  # type: ignore[union-attr]


def test_a_worker_that_keeps_the_deadline_of_a_step_around_it_ends_that_step() -> None:
    play = Playbook(calling(timeout_ms=500, retry=TWICE), INNER, text="a").opened()
    play.on(failed("go/read", Reason.STEP_TIMEOUT), at=499)
    assert play.events == ["step_retrying go #1 STEP_TIMEOUT"]


def test_a_cancel_goes_all_the_way_in() -> None:
    play = Playbook(calling(), INNER, text="a").opened().on(CancelRequested())
    assert play.commands == ["cancel go/read #1"]
    assert play.statuses == {"go": "CANCELLED", "go/read": "CANCELLED"}
    assert play.record.status is ExecutionStatus.CANCELLED


def test_a_condition_skips_the_flow_as_any_step() -> None:
    play = Playbook(flow(call("go", INNER, {"text": "a"}, condition="{{ false }}")), INNER).opened()
    assert play.events == ["started", "step_skipped go", "done"]


def test_a_flow_whose_steps_are_all_skipped_is_over_at_once() -> None:
    idle = callee("idle", step("x", 1, condition="{{ false }}"))
    play = Playbook(flow(call("go", idle), call("each", idle, for_each="{{ range(3) }}")), idle).opened()
    while play.state.wake_at_ms == 0:
        play.on()
    assert play.record.result == {"go": {}, "each": [{}, {}, {}]}


def test_items_run_flows_and_what_is_in_them_is_progress() -> None:
    plan = flow(call("each", INNER, {"text": "{{ item }}"}, for_each="{{ inputs.tags }}", max_parallel=2))
    play = Playbook(plan, INNER, tags=["a", "b", "c"]).opened()
    assert play.events == ["started", "step_started each #1"]
    assert play.commands == ["start each/0/read #1 on q", "start each/1/read #1 on q"]
    play.on(done("each/1/read", "B"))
    assert play.events == []
    assert play.commands == ["ack each/1/read #1", "announce each/1 0", "start each/1/sum #1 on q"]
    assert play.record.progress.percentage == 16.7
    play.on(done("each/1/sum", "S"))
    assert play.commands == [
        "ack each/1/sum #1",
        *("announce each/1 0", "announce each/1 33.3"),
        "start each/2/read #1 on q",
    ]
    for item in (0, 2):
        play.on(done(f"each/{item}/read")).on(done(f"each/{item}/sum", item))
    assert play.record.result == {"each": [{"value": 0}, {"value": "S"}, {"value": 2}]}


def test_a_new_owner_goes_on_inside_and_runs_nothing_twice() -> None:
    plan = flow(
        call("go", INNER, {"text": "a"}, retry=TWICE),
        call("each", INNER, {"text": "{{ item }}"}, for_each="{{ inputs.tags }}"),
    )
    play = Playbook(plan, INNER, tags=["a", "b"]).opened()
    play.on(done("go/read", "r"), done("each/1/read", "B"))
    before = play.state
    play.reopened()
    assert sorted(play.commands) == ["start each/0/read #1 on q", "start each/1/sum #1 on q", "start go/sum #1 on q"]
    assert play.state.frames == before.frames
    assert {"value": ["r", "none", "inner"]} in play.configs()


def test_a_new_owner_in_the_pause_before_a_retry_waits_for_it() -> None:
    play = Playbook(calling(retry=TWICE), INNER, text="a").opened().on(failed("go/read"))
    play.reopened(at=1)
    assert play.commands == []
    assert play.on(at=300).commands == ["start go@2/read #1 on q"]


def test_flows_nest() -> None:
    middle = callee("middle", call("deep", INNER, {"text": "{{ inputs.text }}"}), inputs=INNER.inputs)
    plan = flow(call("top", middle, {"text": "{{ inputs.text }}"}, retry=TWICE))
    play = Playbook(plan, INNER, middle, text="a").opened()
    assert play.commands == ["start top/deep/read #1 on q"]
    play.on(failed("top/deep/read")).on(at=200)
    assert play.commands == ["start top@2/deep/read #1 on q"]
    play.on(done("top@2/deep/read"), at=210).on(done("top@2/deep/sum", 1), at=220)
    assert play.record.result == {"top": {"deep": {"value": 1}}}


def test_an_answer_to_an_inner_attempt_that_is_over_is_acknowledged_on_its_queue() -> None:
    play = Playbook(calling(), INNER, text="a").opened().on(done("go/read"))
    assert play.on(done("go/read")).commands == ["ack go/read #1"]


def test_lists_inside_lists_keep_within_what_a_run_may_have_live() -> None:
    numbers = ObjectType((FieldType("numbers", ListType(SCALARS["json"])),))
    rows = callee("rows", step("x", "{{ item }}", for_each="{{ inputs.numbers }}", queue="q"), inputs=numbers)
    plan = flow(call("each", rows, {"numbers": "{{ range(200) | list }}"}, for_each="{{ range(300) }}"))
    play = Playbook(plan, rows).opened()
    while play.state.wake_at_ms == 0:
        play.on()
    assert len(play.state.live) <= MAX_LIVE + 300
    assert all(fan_out.live for fan_out in play.state.fan_outs.values()), "every list goes on"


@pytest.mark.parametrize(("outer", "inner"), [(9, 0), (2, 9)])
def test_a_run_does_not_grow_without_end(monkeypatch: pytest.MonkeyPatch, outer: int, inner: int) -> None:
    monkeypatch.setattr("promptflow_server.engine.beginning.MAX_NESTED", 10)
    rows = callee("rows", step("x", 1), step("y", "{{ item }}", for_each=f"{{{{ range({inner}) }}}}"))
    play = Playbook(flow(call("each", rows, for_each=f"{{{{ range({outer}) }}}}")), rows).opened()
    assert play.record.error is not None
    assert play.record.error.reason is Reason.TEMPLATE_LIMIT
    assert "more than 10 steps and items" in play.record.error.message


def test_files_go_in_by_reference() -> None:
    page = FileRef("x/page", "image/png", "page.png", 5)
    inputs = ObjectType((FieldType("page", SCALARS["file"], required=True),))
    reader = callee("reader", step("read", "{{ inputs.page }}"), inputs=inputs)
    play = Playbook(flow(call("go", reader, {"page": "{{ inputs.page }}"}), inputs=inputs), reader, page=page).opened()
    assert play.configs() == [{"value": page}]


async def test_a_run_with_flows_inside_goes_through_real_dispatch(
    engine: EngineProcess, redis_url: str, tmp_path: Path
) -> None:
    plan = flow(
        call("go", POOLED, {"text": "{{ inputs.text }}"}),
        call("each", POOLED, {"text": "{{ item }}"}, for_each="{{ inputs.tags }}"),
    )
    engine.plans[POOLED.name] = POOLED
    async with worker_process(redis_url, tmp_path, "echoes"):
        run, events = await engine.run(plan, text="x", tags=["a", "b"])
    assert run.result == {"go": {"near": {"value": ["x"]}}, "each": [{"near": {"value": [tag]}} for tag in ("a", "b")]}
    assert [event.sequence for event in events if event.sequence] == list(range(1, run.sequence + 1))
    assert run.progress.percentage == 100


async def test_a_flow_that_the_bundle_lacks_fails_the_run(engine: EngineProcess) -> None:
    run, _ = await engine.run(flow(call("go", POOLED, {"text": "x"})), text="x")
    assert run.error is not None
    assert run.error.reason is Reason.FLOW_NOT_FOUND


async def test_inner_calls_go_on_where_a_killed_process_left_them(
    flushed_redis_url: str, tmp_path: Path, gate: Gate
) -> None:
    gated = callee("gated", step("first", 1), step("held", "gate", needs=("first",), executor="gated"))
    async with engine_process(flushed_redis_url, tmp_path, {gated.name: gated}) as dying:
        execution_id = await dying.start(flow(call("go", gated)))
        await asyncio.wait_for(gate.came.acquire(), 5)
        async with engine_process(flushed_redis_url, tmp_path, dying.plans) as heir:
            await dying.kill()
            await asyncio.wait_for(gate.came.acquire(), 8)
            gate.opened.set()
            run = await heir.end(execution_id)
    assert run.status is ExecutionStatus.COMPLETED
    assert (run.steps["go/first"].attempt, run.server) == (1, heir.server_id)
    assert set(gate.calls) == {f"{execution_id}/go/held/-/1"}, "the same attempt under the same key"
