"""Laws of the machine: whatever plan, whatever order of answers, failures, cancellations and changes of owner."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.server.engine.plans import flow, step

from promptflow_codegen.plan import FlowPlan, StepPlan
from promptflow_core.errors import ErrorRecord, Reason
from promptflow_core.records import (
    EventKind,
    EventRecord,
    ExecutionRecord,
    ExecutionStatus,
    StepRecord,
    StepStatus,
)
from promptflow_core.retry import RetryPolicy
from promptflow_server.engine.machine import advance
from promptflow_server.engine.run_state import RunState, item_limit
from promptflow_server.engine.templates import TemplateEngine
from promptflow_server.engine.transitions import (
    AckCall,
    CallFinished,
    CallProgressed,
    CancelCall,
    CancelRequested,
    Opened,
    RunEvent,
    StartCall,
)

TURNS_TO_THE_END = 400


@st.composite
def plans(draw: st.DrawFn) -> FlowPlan:
    names = [f"s{number}" for number in range(draw(st.integers(1, 5)))]
    steps: list[StepPlan] = []
    for position, name in enumerate(names):
        needs = draw(st.lists(st.sampled_from(names[:position]), unique=True, max_size=3)) if position else []
        items = draw(st.sampled_from([None, None, 0, 1, 3, 5]))
        # What is read may have been skipped; what is written says so.
        value = "{{ [" + ", ".join(f"steps.{need} | default(none)" for need in needs) + "] }}" if needs else "x"
        steps.append(
            step(
                name,
                value,
                needs=tuple(needs),
                queue=draw(st.sampled_from([None, "q"])),
                condition=draw(st.sampled_from([None, None, None, "{{ true }}", "{{ false }}"])),
                for_each=None if items is None else f"{{{{ range({items}) }}}}",
                max_parallel=draw(st.integers(0, 2)),
                retry=RetryPolicy(max_attempts=draw(st.integers(1, 3)), initial_ms=50),
                timeout_ms=draw(st.sampled_from([None, None, 400])),
            )
        )
    return flow(*steps)


class World:
    """Everything around the machine: calls under way, the store, the clock, and the laws that each turn must keep."""

    def __init__(self, plan: FlowPlan, timeout_ms: int) -> None:
        self.plan = plan
        self.templates = TemplateEngine(plan)
        self.rng = Random(0)
        self.now_ms = 1_000
        record = ExecutionRecord(
            "x",
            plan.name,
            1,
            "d",
            ExecutionStatus.QUEUED,
            1,
            {},
            created_at_ms=self.now_ms,
            deadline_at_ms=self.now_ms + timeout_ms if timeout_ms else 0,
        )
        self.epoch = 1
        self.state = RunState.of(plan, record, server="s", epoch=1)
        self.running: list[str] = []
        self.answered: list[str] = []
        self.events: list[EventRecord] = []
        self.percentage = 0.0

    @property
    def has_ended(self) -> bool:
        return self.state.record.status.is_terminal

    def turn(self, *events: RunEvent) -> None:
        before = self.state.record
        transition = advance(self.state, events, renderer=self.templates, now_ms=self.now_ms, rng=self.rng)
        self.state = transition.state
        commit = transition.commit
        if commit is not None:
            self._check_steps(before, commit.steps)
            self._check_events(before, commit.events)
        else:
            assert self.state.record.steps == before.steps
        for command in transition.commands:
            match command:
                case StartCall(call=call):
                    self._check_intent(call.id)
                    if call.id not in self.running:
                        self.running.append(call.id)
                case CancelCall(call_id=call_id) if call_id in self.running:
                    self.running.remove(call_id)
                case AckCall(call_id=call_id):
                    assert call_id in self.answered, "only what has answered is acknowledged"
                case _:
                    pass
        self._check_limits()

    def change_owner(self) -> None:
        """The owner dies; the next one knows the record and no more, and must know as much from it."""
        old, self.epoch = self.state, self.epoch + 1
        self.state = RunState.of(self.plan, old.record, server=f"s{self.epoch}", epoch=self.epoch)
        self.turn(Opened(opens=2))
        if self.has_ended or old.record.status is ExecutionStatus.QUEUED:
            return
        assert self.state.outputs == old.outputs
        assert self.state.skipped == old.skipped
        assert set(old.live) <= set(self.state.live)

    def answer(self, pick: int, event: Callable[[str], RunEvent]) -> None:
        if self.running:
            call_id = self.running[pick % len(self.running)]
            if isinstance(event(call_id), CallFinished):
                self.running.remove(call_id)
                self.answered.append(call_id)
            self.turn(event(call_id))

    def answer_again(self, pick: int) -> None:
        if self.answered:
            self.turn(CallFinished(self.answered[pick % len(self.answered)], output={"value": "late"}))

    def pass_time(self, ms: int) -> None:
        self.now_ms += ms
        self.turn()

    def end(self) -> None:
        """Nothing goes wrong any more."""
        for _ in range(TURNS_TO_THE_END):
            if self.has_ended:
                return
            if self.running:
                self.answer(0, lambda call_id: CallFinished(call_id, output={"value": 1}))
            else:
                wake_at_ms = self.state.wake_at_ms
                assert wake_at_ms is not None, "nothing runs, nothing is due, and the run has not ended"
                self.now_ms = max(self.now_ms, wake_at_ms)
                self.turn()
        raise AssertionError("the run does not end")

    def _check_steps(self, before: ExecutionRecord, written: tuple[StepRecord, ...]) -> None:
        assert len({one.path for one in written}) == len(written)
        for one in written:
            old = before.steps.get(one.path, StepRecord(one.path))
            assert not old.status.is_terminal, f"{one.path} was over and is written again"
            assert one.attempt >= old.attempt

    def _check_events(self, before: ExecutionRecord, events: tuple[EventRecord, ...]) -> None:
        assert [one.sequence for one in events] == list(range(before.sequence + 1, before.sequence + 1 + len(events)))
        assert self.state.record.sequence == before.sequence + len(events)
        for one in events:
            assert one.progress.percentage >= self.percentage
            self.percentage = one.progress.percentage
        self.events += events

    def _check_intent(self, call_id: str) -> None:
        _, name, item, attempt = call_id.rsplit("/", 3)
        record = self.state.record.steps[name if item == "-" else f"{name}/{item}"]
        assert record.attempt == int(attempt)

    def _check_limits(self) -> None:
        for name, batch in self.state.batches.items():
            live = [path for path in self.state.live if path.startswith(f"{name}/")]
            assert len(live) == batch.live <= item_limit(self.plan.step(name))
            assert batch.next == batch.done + batch.live


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(
            ["succeed"] * 5 + ["fail", "fail", "fail for good", "progress", "again", "time", "time", "owner", "cancel"]
        ),
        st.integers(0, 20),
    ),
    max_size=40,
)


@given(plans(), ACTIONS, st.sampled_from([0, 0, 0, 700]))
@settings(max_examples=300, deadline=None)
def test_every_run_ends_once_and_records_each_step_once(
    plan: FlowPlan, actions: list[tuple[str, int]], timeout_ms: int
) -> None:
    world = World(plan, timeout_ms)
    world.turn(Opened())
    for action, pick in actions:
        if world.has_ended:
            break
        _act(world, action, pick)
    world.end()
    _check_the_whole(world)


@given(plans(), st.integers(0, 2**32))
@settings(max_examples=150, deadline=None)
def test_a_run_in_which_nothing_fails_completes_in_whatever_order(plan: FlowPlan, seed: int) -> None:
    world = World(plan, timeout_ms=0)
    rng = Random(seed)
    world.turn(Opened())
    while world.running and not world.has_ended:
        world.answer(rng.randrange(100), lambda call_id: CallFinished(call_id, output={"value": call_id}))
    _check_the_whole(world)
    assert world.state.record.status is ExecutionStatus.COMPLETED
    assert world.percentage == 100.0


def _act(world: World, action: str, pick: int) -> None:
    answers: dict[str, Callable[[str], RunEvent]] = {
        "succeed": lambda call_id: CallFinished(call_id, output={"value": 1}),
        "fail": lambda call_id: CallFinished(call_id, error=_error(Reason.EXECUTOR_FAILED)),
        "fail for good": lambda call_id: CallFinished(call_id, error=_error(Reason.CONFIG_INVALID)),
        "progress": lambda call_id: CallProgressed(call_id, 5.0 * pick),
    }
    if action in answers:
        world.answer(pick, answers[action])
    elif action == "again":
        world.answer_again(pick)
    elif action == "time":
        world.pass_time(pick * 20)
    elif action == "owner":
        world.change_owner()
    elif pick > 15:
        world.turn(CancelRequested())


def _check_the_whole(world: World) -> None:
    record, kinds = world.state.record, [event.kind for event in world.events]
    assert kinds.count(EventKind.DONE) == 1
    assert kinds[-1] is EventKind.DONE
    assert kinds[0] is EventKind.STARTED
    assert kinds.count(EventKind.STARTED) == 1
    assert all(step.status.is_terminal for step in record.steps.values())
    assert not world.state.live
    assert (record.error is None) == (record.status is ExecutionStatus.COMPLETED) == (record.result is not None)
    for one in world.plan.steps:
        completed = [
            event for event in world.events if event.kind is EventKind.STEP_COMPLETED and event.step == one.name
        ]
        recorded = record.steps.get(one.name)
        assert len(completed) == (recorded is not None and recorded.status is StepStatus.COMPLETED)
        if recorded is not None:
            assert all(record.steps[need].status in (StepStatus.COMPLETED, StepStatus.SKIPPED) for need in one.needs), (
                "a step began before its needs were over"
            )
    if record.status is ExecutionStatus.COMPLETED:
        assert {one.name for one in world.plan.steps} == {path for path in record.steps if "/" not in path}


def _error(reason: Reason) -> ErrorRecord:
    return ErrorRecord(reason, "broken")
