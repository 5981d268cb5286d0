"""Laws of the machine: whatever plan, whatever order of answers, failures, cancellations and changes of owner."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.server.engine.plans import flow, program, step

from promptflow_codegen.plan import FlowPlan, FlowRef, StepPlan
from promptflow_core.errors import ErrorRecord, Reason
from promptflow_core.records import (
    EventKind,
    EventRecord,
    ExecutionRecord,
    ExecutionStatus,
    StepRecord,
    StepStatus,
    call_id,
)
from promptflow_core.retry import RetryPolicy
from promptflow_server.engine.machine import advance
from promptflow_server.engine.program import Program
from promptflow_server.engine.run_state import RunState, item_limit
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

TURNS_TO_THE_END = 2000


@st.composite
def programs(draw: st.DrawFn) -> Program:
    """A flow whose steps may run flows, whose steps may run flows."""
    callees: list[FlowPlan] = []
    for number in range(draw(st.integers(0, 3))):
        plan = draw(plans(callees, max_steps=3))
        callees.append(replace(plan, name=f"f{number}", source=f"flows/f{number}.yaml"))
    return program(draw(plans(callees, max_steps=5)), *callees)


@st.composite
def plans(draw: st.DrawFn, callees: Sequence[FlowPlan], max_steps: int) -> FlowPlan:
    names = [f"s{number}" for number in range(draw(st.integers(1, max_steps)))]
    steps: list[StepPlan] = []
    for position, name in enumerate(names):
        needs = draw(st.lists(st.sampled_from(names[:position]), unique=True, max_size=3)) if position else []
        items = draw(st.sampled_from([None, None, 0, 1, 3]))
        # What is read may have been skipped; what is written says so.
        value = "{{ [" + ", ".join(f"steps.{need} | default(none)" for need in needs) + "] }}" if needs else "x"
        called = draw(st.sampled_from([None, *callees]))
        steps.append(
            step(
                name,
                needs=tuple(needs),
                config={"value": value} if called is None else {"tags": ["{{ system.flow }}"]},
                queue=draw(st.sampled_from([None, "q"])) if called is None else None,
                flow=None if called is None else FlowRef(called.name),
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

    def __init__(self, program: Program, timeout_ms: int) -> None:
        self.program = program
        plan = program.plan
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
        self.state = RunState.of(self.program, record, server="s", epoch=1)
        self.running: list[str] = []
        self.recorded: set[str] = set()
        self.answered: list[str] = []
        self.events: list[EventRecord] = []
        self.percentage = 0.0

    @property
    def has_ended(self) -> bool:
        return self.state.record.status.is_terminal

    def turn(self, *events: RunEvent) -> None:
        before = self.state.record
        transition = advance(self.state, events, now_ms=self.now_ms, rng=self.rng)
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
                    assert call.id not in self.recorded, "what is recorded does not run again"
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
        self.state = RunState.of(self.program, old.record, server=f"s{self.epoch}", epoch=self.epoch)
        self.turn(Opened(opens=2))
        if self.has_ended or old.record.status is ExecutionStatus.QUEUED:
            return
        assert self.state.frames == old.frames
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
            if one.status is StepStatus.COMPLETED and one.items_total < 0:
                self.recorded.add(_call_id(one.path, one.attempt))
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
        name, item, attempt = call_id.removeprefix("x/").rsplit("/", 2)
        record = self.state.record.steps[name if item == "-" else f"{name}/{item}"]
        assert record.attempt == int(attempt)

    def _check_limits(self) -> None:
        for path, fan_out in self.state.fan_outs.items():
            live = [one for one in self.state.live.values() if one.step_path == path]
            assert len(live) == fan_out.live <= item_limit(fan_out.place.step)
            assert fan_out.next == fan_out.done + fan_out.live
            assert 0 <= fan_out.fraction <= 1
        callers = {frame.caller.path for frame in self.state.frames.values() if frame.caller is not None}
        assert self.has_ended or callers == {
            path
            for path, place in self.state.live.items()
            if place.step.flow is not None and self.state.record.steps[path].status is StepStatus.RUNNING
        }


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(
            ["succeed"] * 5 + ["fail", "fail", "fail for good", "progress", "again", "time", "time", "owner", "cancel"]
        ),
        st.integers(0, 20),
    ),
    max_size=40,
)


@given(programs(), ACTIONS, st.sampled_from([0, 0, 0, 700]))
@settings(max_examples=300, deadline=None)
def test_every_run_ends_once_and_records_each_step_once(
    program: Program, actions: list[tuple[str, int]], timeout_ms: int
) -> None:
    world = World(program, timeout_ms)
    world.turn(Opened())
    for action, pick in actions:
        if world.has_ended:
            break
        _act(world, action, pick)
    world.end()
    _check_the_whole(world)


@given(programs(), st.integers(0, 2**32))
@settings(max_examples=150, deadline=None)
def test_a_run_in_which_nothing_fails_completes_in_whatever_order(program: Program, seed: int) -> None:
    world = World(program, timeout_ms=0)
    _run_to_the_end(world, Random(seed), crashes=False)
    assert world.state.record.status is ExecutionStatus.COMPLETED
    assert world.percentage == 100.0


@given(programs(), st.integers(0, 2**32))
@settings(max_examples=150, deadline=None)
def test_a_run_that_changes_hands_at_any_point_gives_the_result_of_one_that_does_not(
    program: Program, seed: int
) -> None:
    calm, troubled = World(program, timeout_ms=0), World(program, timeout_ms=0)
    _run_to_the_end(calm, Random(seed), crashes=False)
    _run_to_the_end(troubled, Random(seed), crashes=True)
    assert troubled.state.record.result == calm.state.record.result
    assert {path: one.output for path, one in troubled.state.record.steps.items()} == {
        path: one.output for path, one in calm.state.record.steps.items()
    }


def _run_to_the_end(world: World, rng: Random, *, crashes: bool) -> None:
    world.turn(Opened())
    while not world.has_ended:
        if crashes and rng.random() < 0.3:
            world.change_owner()
        elif world.running:
            # What is answered hangs on the call alone, so that the order in which it comes does not matter.
            world.answer(rng.randrange(100), lambda call_id: CallFinished(call_id, output={"value": call_id}))
        else:
            assert world.state.wake_at_ms == 0
            world.turn()
    _check_the_whole(world)


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
    for one in world.program.plan.steps:
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
        assert {one.name for one in world.program.plan.steps} == {path for path in record.steps if "/" not in path}


def _call_id(path: str, attempt: int) -> str:
    step, _, item = path.rpartition("/")
    return call_id("x", step, int(item), attempt) if item.isdigit() else call_id("x", path, None, attempt)


def _error(reason: Reason) -> ErrorRecord:
    return ErrorRecord(reason, "broken")
