"""Playbooks of the machine: given events, expect events and commands."""

from __future__ import annotations

import statistics
import tracemalloc
from collections import deque
from dataclasses import replace

import pytest
from tests.unit.server.engine.plans import flow, step
from tests.unit.server.engine.playbook import NOW, Playbook, done, failed, progressed

from promptflow_core.errors import Reason
from promptflow_core.records import ExecutionStatus
from promptflow_core.retry import RetryPolicy
from promptflow_server.engine.fan_out import ITEMS_PER_TURN
from promptflow_server.engine.machine import MAX_OPENS
from promptflow_server.engine.run_state import MAX_LIVE_ITEMS
from promptflow_server.engine.transitions import (
    Announce,
    CallFinished,
    CancelRequested,
    Opened,
    RunEvent,
    StartCall,
)

THREE = RetryPolicy(max_attempts=3, initial_ms=100, max_ms=1000)


def test_steps_run_as_soon_as_what_they_read_is_there() -> None:
    plan = flow(
        step("a", 1),
        step("b", 2, queue="q"),
        step("c", "{{ [steps.a.value, steps.b.value] }}"),
    )
    play = Playbook(plan).opened()
    assert play.events == ["started", "step_started a #1", "step_started b #1"]
    assert play.commands == ["start a #1", "start b #1 on q"]
    play.on(done("a", 1))
    assert (play.events, play.commands) == (["step_completed a #1"], [])
    play.on(done("b", 2))
    assert play.events == ["step_completed b #1", "step_started c #1"]
    assert play.commands == ["ack b #1", "start c #1"]
    assert play.configs() == [{"value": [1, 2]}]
    play.on(done("c", [1, 2]))
    assert play.events == ["step_completed c #1", "done"]
    assert play.record.status is ExecutionStatus.COMPLETED
    assert play.record.result == {"a": {"value": 1}, "b": {"value": 2}, "c": {"value": [1, 2]}}


def test_needs_hold_a_step_back_without_a_template() -> None:
    play = Playbook(flow(step("a", 1), step("b", 2, needs=("a",)))).opened()
    assert play.commands == ["start a #1"]
    assert play.on(done("a")).commands == ["start b #1"]


def test_one_turn_takes_all_that_has_happened() -> None:
    play = Playbook(flow(step("a", 1), step("b", 2), step("c", "{{ steps.a.value }}{{ steps.b.value }}"))).opened()
    play.on(done("a", 1), done("b", 2))
    assert play.events == ["step_completed a #1", "step_completed b #1", "step_started c #1"]


@pytest.mark.parametrize(("path", "taken", "left"), [("a", "left", "right"), ("b", "right", "left")])
def test_a_condition_chooses_the_path(path: str, taken: str, left: str) -> None:
    plan = flow(
        step("route", "{{ inputs.text }}"),
        step("left", 1, condition="{{ steps.route.value == 'a' }}"),
        step("right", 2, condition="{{ steps.route.value == 'b' }}"),
        step("after", "{{ steps.left.value | default('-') }}{{ steps.right.value | default('-') }}"),
    )
    play = Playbook(plan, text=path).opened().on(done("route", path))
    assert sorted(play.events) == sorted(
        ["step_completed route #1", f"step_started {taken} #1", f"step_skipped {left}"]
    )
    play.on(done(taken, 1))
    assert play.configs() == [{"value": "1-" if taken == "left" else "-1"}]
    play.on(done("after", "x"))
    assert play.record.result is not None
    assert left not in play.record.result


def test_everything_may_be_skipped() -> None:
    play = Playbook(flow(step("a", 1, condition="{{ false }}"), step("b", 2, condition="{{ false }}"))).opened()
    assert play.events == ["started", "step_skipped a", "step_skipped b", "done"]
    assert (play.record.status, play.record.result) == (ExecutionStatus.COMPLETED, {})


def test_items_run_in_order_and_at_most_max_parallel_at_once() -> None:
    plan = flow(step("each", "{{ index }}{{ item }}", for_each="{{ inputs.tags }}", max_parallel=2, queue="q"))
    play = Playbook(plan, tags=["a", "b", "c"]).opened()
    assert play.events == ["started", "step_started each #1"]
    assert play.commands == ["start each/0 #1 on q", "start each/1 #1 on q"]
    assert play.configs() == [{"value": "0a"}, {"value": "1b"}]
    play.on(done("each", "B", item=1))
    assert play.events == []
    assert play.commands == ["ack each/1 #1", "announce each/1 33.3", "start each/2 #1 on q"]
    play.on(done("each", "C", item=2), done("each", "A", item=0))
    assert play.events == ["step_completed each #1", "done"]
    assert play.record.result == {"each": [{"value": "A"}, {"value": "B"}, {"value": "C"}]}


def test_the_item_has_the_name_that_the_step_gives_it() -> None:
    plan = flow(step("each", "{{ tag }}", for_each="{{ inputs.tags }}", items_name="tag"))
    assert Playbook(plan, tags=["a"]).opened().configs() == [{"value": "a"}]


def test_an_empty_list_is_a_step_that_is_over() -> None:
    play = Playbook(flow(step("each", "{{ item }}", for_each="{{ inputs.tags }}")), tags=[]).opened()
    assert play.events == ["started", "step_started each #1", "step_completed each #1", "done"]
    assert play.record.result == {"each": []}


def test_one_turn_begins_a_bounded_number_of_items_and_the_next_comes_at_once() -> None:
    tags = [str(number) for number in range(MAX_LIVE_ITEMS + 10)]
    play = Playbook(flow(step("each", "{{ item }}", for_each="{{ inputs.tags }}")), tags=tags).opened()
    turns = 1
    assert len(play.commands) == ITEMS_PER_TURN
    while play.state.wake_at_ms == 0:
        play.on()
        assert 0 < len(play.commands) <= ITEMS_PER_TURN
        turns += 1
    assert turns == MAX_LIVE_ITEMS / ITEMS_PER_TURN
    assert len(play.state.live) == MAX_LIVE_ITEMS


def test_a_turn_of_a_long_run_copies_no_more_than_one_of_a_short_run() -> None:
    assert median_bytes_of_a_turn(items=10_000) < 2 * median_bytes_of_a_turn(items=1_500)


def median_bytes_of_a_turn(items: int) -> float:
    """What turns with eight answers take of memory while they last, the last of them in a run over a list."""
    play = Playbook(flow(step("each", "{{ item }}", for_each="{{ inputs.tags }}")), tags=["t"] * items)
    answer: list[RunEvent] = [Opened()]
    running: deque[str] = deque()
    taken: list[int] = []
    while not play.record.status.is_terminal:
        if len(play.record.steps) > items - 100 and not tracemalloc.is_tracing():
            tracemalloc.start()
        if tracemalloc.is_tracing():
            before_bytes, _ = tracemalloc.get_traced_memory()
            tracemalloc.reset_peak()
        play.on(*answer)
        if tracemalloc.is_tracing():
            taken.append(tracemalloc.get_traced_memory()[1] - before_bytes)
        running.extend(command.call.id for command in play.last.commands if isinstance(command, StartCall))
        answer = [CallFinished(running.popleft(), output={"value": 1}) for _ in range(min(8, len(running)))]
    tracemalloc.stop()
    return statistics.median(taken)


def test_a_retryable_failure_is_tried_again_after_its_delay() -> None:
    play = Playbook(flow(step("a", 1, retry=THREE, queue="q"))).opened().on(failed("a"), at=10)
    assert play.events == ["step_retrying a #1 EXECUTOR_FAILED"]
    assert play.commands == ["ack a #1"]
    assert play.statuses == {"a": "RETRYING"}
    due = play.state.wake_at_ms
    assert due is not None
    assert NOW + 10 < due <= NOW + 110
    assert play.on(at=due - NOW - 1).commands == []
    play.on(at=due - NOW)
    assert (play.events, play.commands) == (["step_started a #2"], ["start a #2 on q"])
    play.on(done("a", 1, attempt=2))
    assert play.record.status is ExecutionStatus.COMPLETED


def test_a_delay_is_never_shorter_than_what_the_error_asks_for() -> None:
    play = Playbook(flow(step("a", 1, retry=THREE))).opened().on(failed("a", retry_after_ms=5_000))
    assert play.state.wake_at_ms == NOW + 5_000


def test_attempts_are_counted_and_the_last_failure_is_the_runs() -> None:
    play = Playbook(flow(step("a", 1, retry=THREE))).opened()
    for attempt in (1, 2):
        play.on(failed("a", attempt=attempt))
        play.on(at=10_000 * attempt)
    play.on(failed("a", attempt=3))
    assert play.events == ["step_failed a #3 EXECUTOR_FAILED", "done"]
    assert play.record.error is not None
    assert play.record.error.metadata == {
        "flow": "sample",
        "execution_id": "x",
        "step": "a",
        "attempt": "3",
        "source": "flows/sample.yaml",
        "line": "7",
    }


def test_what_is_not_retryable_is_not_tried_again() -> None:
    play = Playbook(flow(step("a", 1, retry=THREE))).opened().on(failed("a", Reason.CONFIG_INVALID))
    assert play.events == ["step_failed a #1 CONFIG_INVALID", "done"]


def test_the_first_failure_ends_the_run_and_all_that_runs_in_it() -> None:
    plan = flow(step("a", 1), step("b", 2, queue="q"), step("c", "{{ steps.a.value }}"), step("d", 1, retry=THREE))
    play = Playbook(plan).opened().on(failed("d"), failed("a", Reason.CONFIG_INVALID))
    assert play.events == ["step_retrying d #1 EXECUTOR_FAILED", "step_failed a #1 CONFIG_INVALID", "done"]
    assert play.commands == ["cancel b #1"]
    assert play.statuses == {"a": "FAILED", "b": "CANCELLED", "d": "CANCELLED"}
    assert play.record.status is ExecutionStatus.FAILED
    assert play.state.wake_at_ms is None


def test_a_failed_item_fails_its_step_and_the_others_are_cancelled() -> None:
    plan = flow(step("each", "{{ item }}", for_each="{{ inputs.tags }}", queue="q"))
    play = Playbook(plan, tags=["a", "b", "c"]).opened().on(done("each", item=0), failed("each", item=1))
    assert play.events == ["step_failed each/1 #1 EXECUTOR_FAILED", "step_failed each #1 EXECUTOR_FAILED", "done"]
    assert play.statuses == {
        "each": "FAILED",
        "each/0": "COMPLETED",
        "each/1": "FAILED",
        "each/2": "CANCELLED",
    }
    assert "cancel each/2 #1" in play.commands
    assert play.record.error is not None
    assert play.record.error.metadata["item"] == "1"


def test_an_item_is_retried_by_itself() -> None:
    plan = flow(step("each", "{{ item }}", for_each="{{ inputs.tags }}", retry=THREE))
    play = Playbook(plan, tags=["a", "b"]).opened().on(failed("each", item=0), done("each", 1, item=1))
    assert play.events == ["step_retrying each/0 #1 EXECUTOR_FAILED"]
    play.on(at=1_000)
    assert (play.events, play.commands) == ([], ["start each/0 #2"])
    assert play.on(done("each", 0, item=0, attempt=2)).events == ["step_completed each #1", "done"]


def test_a_step_that_takes_too_long_is_cancelled_and_tried_again() -> None:
    play = Playbook(flow(step("a", 1, timeout_ms=500, retry=THREE, queue="q"))).opened()
    assert play.state.wake_at_ms == NOW + 500
    play.on(at=500)
    assert play.events == ["step_retrying a #1 STEP_TIMEOUT"]
    assert play.commands == ["cancel a #1"]
    play.on(at=2_000)
    assert play.commands == ["start a #2 on q"]
    assert play.on(done("a", 1), at=2_001).commands == ["ack a #1"], (
        "the late answer of the first attempt counts no more"
    )
    assert play.on(at=2_499).events == []
    assert play.on(at=2_500).events == ["step_retrying a #2 STEP_TIMEOUT"]


def test_an_answer_in_the_turn_of_the_timeout_counts() -> None:
    play = Playbook(flow(step("a", 1, timeout_ms=500))).opened().on(done("a", 1), at=900)
    assert play.events == ["step_completed a #1", "done"]


def test_a_run_that_takes_too_long_fails() -> None:
    play = Playbook(flow(step("a", 1, queue="q"), timeout_ms=9), timeout_ms=2_000).opened()
    play.on(at=2_000)
    assert play.events == ["done"]
    assert play.commands == ["cancel a #1"]
    assert play.record.error is not None
    assert (play.record.status, play.record.error.reason) == (ExecutionStatus.FAILED, Reason.EXECUTION_TIMEOUT)
    assert "2 s" in play.record.error.message


def test_a_worker_that_keeps_the_runs_deadline_does_not_make_it_the_steps() -> None:
    play = Playbook(flow(step("a", 1, queue="q", retry=THREE)), timeout_ms=2_000).opened()
    play.on(failed("a", Reason.STEP_TIMEOUT), at=1_999)
    assert play.record.error is not None
    assert play.record.error.reason is Reason.EXECUTION_TIMEOUT


def test_calls_carry_the_nearer_deadline_and_the_epoch() -> None:
    plan = flow(step("a", 1, timeout_ms=5_000), step("b", 1, timeout_ms=100), step("c", 1))
    play = Playbook(plan, timeout_ms=2_000).opened()
    calls = [command.call for command in play.last.commands if hasattr(command, "call")]
    assert [call.deadline_at_ms - NOW for call in calls] == [2_000, 100, 2_000]
    assert {call.epoch for call in calls} == {3}


def test_cancel_ends_the_run_at_once() -> None:
    plan = flow(step("a", 1, queue="q"), step("b", "{{ steps.a.value }}"))
    play = Playbook(plan).opened().on(CancelRequested())
    assert (play.events, play.commands) == (["done"], ["cancel a #1"])
    assert play.statuses == {"a": "CANCELLED"}
    assert play.record.error is not None
    assert (play.record.status, play.record.error.reason) == (ExecutionStatus.CANCELLED, Reason.EXECUTION_CANCELLED)


def test_a_run_that_was_cancelled_before_it_was_opened_never_begins() -> None:
    play = Playbook(flow(step("a", 1))).on(Opened(), CancelRequested())
    assert (play.events, play.commands) == (["started", "done"], [])


def test_after_the_end_answers_are_acknowledged_and_change_nothing() -> None:
    play = Playbook(flow(step("a", 1, queue="q"))).opened().on(CancelRequested())
    play.on(done("a", 1), progressed("a", 50), CancelRequested(), Opened())
    assert play.last.commit is None
    assert play.commands == ["ack a #1"]


@pytest.mark.parametrize(
    "stale",
    [done("a", 1, attempt=1), failed("a", attempt=1), progressed("a", 50, attempt=1), done("a", 1, attempt=7)],
)
def test_what_another_attempt_says_changes_nothing(stale: object) -> None:
    play = Playbook(flow(step("a", 1, retry=THREE))).opened().on(failed("a")).on(at=5_000)
    assert play.commands == ["start a #2"]
    play.on(stale, at=5_001)  # type: ignore[arg-type]
    assert (play.last.commit, play.commands) == (None, [])


def test_while_a_step_waits_to_be_retried_its_failed_attempt_is_over() -> None:
    play = Playbook(flow(step("a", 1, retry=THREE, queue="q"))).opened().on(failed("a")).on(done("a", 1))
    assert (play.last.commit, play.commands) == (None, ["ack a #1"])


def test_an_answer_that_comes_twice_is_recorded_once() -> None:
    plan = flow(step("a", 1, queue="q"), step("b", 1))
    play = Playbook(plan).opened().on(done("a", 1), done("a", 2))
    assert play.events == ["step_completed a #1"]
    assert play.commands == ["ack a #1", "ack a #1"]
    assert play.record.steps["a"].output == {"value": 1}


def test_another_owner_puts_what_ran_again_under_its_own_epoch() -> None:
    plan = flow(
        step("a", "{{ inputs.text }}", queue="q"),
        step("b", 1, retry=THREE),
        step("each", "{{ item }}", for_each="{{ inputs.tags }}", max_parallel=2, queue="q"),
        step("c", "{{ steps.a.value }}"),
    )
    play = Playbook(plan, text="hi", tags=["x", "y", "z"]).opened().on(failed("b"), done("each", "X", item=0))
    before = play.record
    play.reopened()
    assert play.commands == ["start a #1 on q", "start each/1 #1 on q", "start each/2 #1 on q"]
    assert play.configs() == [{"value": "hi"}, {"value": "y"}, {"value": "z"}]
    assert play.last.commit is None, "nothing has happened that was not recorded"
    assert play.record.steps == before.steps
    assert {command.call.epoch for command in play.last.commands if hasattr(command, "call")} == {4}
    play.on(at=5_000)
    assert play.commands == ["start b #2"]
    play.on(done("b", attempt=2), done("a"), done("each", item=2), done("each", item=1)).on(done("c"))
    assert play.record.status is ExecutionStatus.COMPLETED
    assert play.record.server == "s2"


def test_another_owner_goes_on_with_items_that_had_not_begun() -> None:
    tags = [str(number) for number in range(ITEMS_PER_TURN + 5)]
    plan = flow(step("each", "{{ item }}", for_each="{{ inputs.tags }}"))
    play = Playbook(plan, tags=tags).opened().on(done("each", item=0), done("each", item=1))
    play.reopened()
    started = {command for command in play.commands if command.startswith("start")}
    assert started == {f"start each/{item} #1" for item in range(2, ITEMS_PER_TURN + 5)}


def test_what_fell_due_while_nobody_owned_the_run_is_due_at_once() -> None:
    play = Playbook(flow(step("a", 1, timeout_ms=500, queue="q"))).opened().reopened(at=600)
    assert play.events == ["step_failed a #1 STEP_TIMEOUT", "done"]
    assert play.commands == ["start a #1 on q", "cancel a #1"]


def test_a_run_that_takes_its_owners_down_is_given_up() -> None:
    play = Playbook(flow(step("a", 1, queue="q"))).opened()
    assert play.on(Opened(MAX_OPENS)).events == []
    play.on(Opened(MAX_OPENS + 1))
    assert play.events == ["done"]
    assert play.record.error is not None
    assert play.record.error.reason is Reason.CRASH_LOOP


def test_progress_rises_with_steps_items_and_what_calls_say() -> None:
    plan = flow(
        step("a", 1),
        step("each", "{{ item }}", for_each="{{ inputs.tags }}", needs=("a",)),
    )
    play = Playbook(plan, tags=["x", "y", "z", "w"]).opened()
    seen = [play.record.progress.percentage]
    for turn in (
        progressed("a", 50),
        progressed("a", 10),
        progressed("a", float("nan")),
        done("a"),
        done("each", item=0),
        done("each", item=1),
        done("each", item=2),
        done("each", item=3),
    ):
        play.on(turn)
        seen.append(play.record.progress.percentage)
    assert seen == [0.0, 25.0, 25.0, 25.0, 50.0, 62.5, 75.0, 87.5, 100.0]


def test_progress_of_a_for_each_step_says_how_many_items_are_done() -> None:
    plan = flow(step("each", "{{ item }}", for_each="{{ inputs.tags }}", max_parallel=2))
    play = Playbook(plan, tags=["a", "b", "c"]).opened()
    play.on(done("each", item=1), progressed("each", 50, item=0), done("each", item=0))
    said = [(one.event.message, one.event.percentage) for one in play.last.commands if isinstance(one, Announce)]
    assert said == [("1 of 3 items", 33.3), ("1 of 3 items", 50.0), ("2 of 3 items", 66.7)]
    told = replace(progressed("each", 10, item=2), message="reading")
    play.on(told)
    assert [one.event.message for one in play.last.commands if isinstance(one, Announce)] == ["2 of 3 items: reading"]


def test_progress_is_announced_and_not_stored() -> None:
    play = Playbook(flow(step("a", 1))).opened().on(progressed("a", 150.0))
    assert (play.events, play.commands) == ([], ["announce a 100"])


def test_progress_does_not_fall_with_a_retry() -> None:
    play = Playbook(flow(step("a", 1, retry=THREE), step("b", 1))).opened().on(progressed("a", 80)).on(failed("a"))
    assert play.record.progress.percentage == 40.0


def test_the_current_step_is_the_one_that_started_last_and_still_runs() -> None:
    plan = flow(step("a", 1), step("b", 1), step("c", "{{ steps.b.value }}"))
    play = Playbook(plan).opened()
    assert play.record.progress.running_steps == ("a", "b")
    play.on(done("b"), at=10)
    assert (play.record.progress.current_step, play.record.progress.running_steps) == ("c", ("a", "c"))
    play.on(done("c"), at=20)
    assert play.record.progress.current_step == "a"


@pytest.mark.parametrize(
    ("failing", "reason", "message"),
    [
        (step("b", "{{ steps.a.nothing.more }}"), Reason.TEMPLATE_FAILED, "`steps.a` has no `nothing`"),
        (
            step("b", 1, condition="{{ steps.a.value }}"),
            Reason.TEMPLATE_FAILED,
            "a condition is true or false, not int",
        ),
        (step("b", 1, for_each="{{ steps.a.value }}"), Reason.TEMPLATE_FAILED, "`for_each` goes over a list, not int"),
        (step("b", "{{ 'x' * steps.a.value }}"), Reason.TEMPLATE_LIMIT, "characters"),
    ],
)
def test_a_template_that_fails_is_a_step_that_fails(failing: object, reason: Reason, message: str) -> None:
    play = Playbook(flow(step("a", 1), failing)).opened().on(done("a", 100_000_000))  # type: ignore[arg-type]
    assert play.events == ["step_completed a #1", f"step_failed b #1 {reason}", "done"]
    assert play.commands == []
    error = play.record.error
    assert error is not None
    assert message in error.message
    assert error.metadata["line"] == "7"
    assert error.metadata["step"] == "b"


def test_outputs_make_the_result() -> None:
    plan = flow(step("a", 1), step("b", 2, condition="{{ false }}"), outputs={"sum": "{{ steps.a.value + 1 }}", "b": 3})
    play = Playbook(plan).opened().on(done("a", 1))
    assert play.record.result == {"sum": 2, "b": 3}


def test_outputs_that_cannot_be_rendered_fail_the_run() -> None:
    play = Playbook(flow(step("a", 1), outputs={"sum": "{{ steps.a.nothing + 1 }}"})).opened().on(done("a", 1))
    assert play.events == ["step_completed a #1", "done"]
    assert (play.record.status, play.record.result) == (ExecutionStatus.FAILED, None)
    assert play.record.error is not None
    assert play.record.error.metadata["template"] == "outputs.sum"


def test_failing_items_of_a_template_name_the_item() -> None:
    plan = flow(step("each", "{{ 10 // (item | int) }}", for_each="{{ inputs.tags }}"))
    play = Playbook(plan, tags=["1", "0"]).opened()
    assert play.events[-3:] == ["step_failed each/1 #1 TEMPLATE_FAILED", "step_failed each #1 TEMPLATE_FAILED", "done"]
    assert play.commands[-1] == "cancel each/0 #1"


def test_a_plan_that_leads_nowhere_ends() -> None:
    play = Playbook(flow(step("a", 1), step("b", 2, needs=("z",)))).opened().on(done("a"))
    assert play.events == ["step_completed a #1", "done"]
    assert play.record.error is not None
    assert play.record.error.reason is Reason.INTERNAL
    assert "steps b wait" in play.record.error.message
