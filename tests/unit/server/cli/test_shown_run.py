from __future__ import annotations

from typing import Any

from promptflow_server.cli.shown_run import ShownRun, StepPhase, StepProgress

Event = dict[str, Any]


def after(*events: Event, steps: tuple[str, ...] = ("ocr", "sentiment")) -> ShownRun:
    state = ShownRun.of_steps(steps)
    for second, event in enumerate(events):
        state = state.with_event({"execution_id": "x1", **event}, float(second))
    return state


def test_a_run_that_has_not_begun_shows_all_its_steps() -> None:
    assert list(after().steps.values()) == [StepProgress("ocr"), StepProgress("sentiment")]


def test_a_step_runs_from_its_start_to_its_end() -> None:
    started = after({"accepted": {}}, {"step_started": {"step": "ocr", "attempt": 1}})
    completed = after({"step_started": {"step": "ocr", "attempt": 1}}, {}, {"step_completed": {"step": "ocr"}})
    assert (started.steps["ocr"].phase, started.steps["ocr"].seconds(5.0)) == (StepPhase.RUNNING, 4.0)
    assert (completed.steps["ocr"].phase, completed.steps["ocr"].seconds(99.0)) == (StepPhase.DONE, 2.0)
    assert completed.steps["ocr"].percentage == 100


def test_items_that_end_move_their_step_on() -> None:
    begun: Event = {"step_started": {"step": "sentiment"}}
    # Progress is not stored: what comes late or not at all must not set a step back.
    shares = (25.0, 75.0, 50.0)
    ended: list[Event] = [
        {"step_progress": {"step": "sentiment", "item": item, "percentage": share}} for item, share in enumerate(shares)
    ]
    seen = [after(begun, *ended[:count]).steps["sentiment"].percentage for count in range(4)]
    assert seen == [0, 25, 75, 75]


def test_the_end_tells_how_many_items_there_were() -> None:
    execution = {"status": "COMPLETED", "steps": {"sentiment": {"state": {}, "items": [{}, {}, {}]}, "ocr": {}}}
    state = after({"step_started": {"step": "sentiment"}}, {"done": execution})
    assert (state.steps["sentiment"].items, state.steps["ocr"].items) == (3, 0)
    assert state.execution == execution


def test_the_failure_of_an_item_is_not_the_failure_of_its_step() -> None:
    error = {"code": 14, "message": "worker lost"}
    begun: Event = {"step_started": {"step": "sentiment"}}
    item = after(begun, {"step_retrying": {"step": "sentiment", "item": 0, "attempt": 1, "error": error}})
    whole = after(begun, {"step_failed": {"step": "sentiment", "attempt": 3, "error": error}})
    assert (item.steps["sentiment"].phase, item.steps["sentiment"].message) == (StepPhase.RUNNING, "worker lost")
    assert (whole.steps["sentiment"].phase, whole.steps["sentiment"].message) == (StepPhase.FAILED, "worker lost")


def test_a_skipped_step_says_why_and_took_no_time() -> None:
    step = after({"step_skipped": {"step": "ocr", "reason": "condition"}}).steps["ocr"]
    assert (step.phase, step.message, step.seconds(9.0)) == (StepPhase.SKIPPED, "condition", None)


def test_steps_that_nobody_announced_are_added_as_they_come() -> None:
    assert list(after({"step_started": {"step": "late"}}, steps=()).steps) == ["late"]


def test_progress_never_falls() -> None:
    shares = (10.0, 60.0, 40.0)
    assert after(*({"progress": {"percentage": share}} for share in shares)).percentage == 60


def test_heartbeats_and_kinds_of_tomorrow_change_nothing() -> None:
    assert after({"heartbeat": {}}, {"step_output": {"step": "ocr"}}, {"future_kind": {"step": "ocr"}}) == after({})
