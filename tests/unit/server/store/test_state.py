"""The functions of executions.lua, through StateManager, on a real Valkey."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from uuid import uuid4

import pytest

from promptflow_core import keys
from promptflow_core.errors import FlowError, Reason
from promptflow_core.records import (
    EventKind,
    EventRecord,
    ExecutionRecord,
    ExecutionStatus,
    Progress,
    StepRecord,
    StepStatus,
)
from promptflow_server.store.records import HeadChange
from promptflow_server.store.state import Loss, RunLostError, Signal, StateManager, same_inputs
from promptflow_workers.dispatch.link import Link

NOW = 1_800_000_000_000
COMPLETED = HeadChange(status=ExecutionStatus.COMPLETED, finished_at_ms=NOW)


def new_run(**changes: object) -> ExecutionRecord:
    record = ExecutionRecord(
        execution_id=uuid4().hex,
        flow="echo",
        version=1,
        bundle_digest="abc",
        status=ExecutionStatus.QUEUED,
        sequence=1,
        inputs={"text": "hi", "data": b"\x00"},
        labels={"team": "a"},
        created_at_ms=NOW,
        deadline_at_ms=NOW + 5,
    )
    return replace(record, **changes)  # type: ignore[arg-type]


def event(record: ExecutionRecord, sequence: int, kind: EventKind = EventKind.STARTED) -> EventRecord:
    return EventRecord(record.execution_id, sequence, NOW, kind)


async def created(state: StateManager, **changes: object) -> ExecutionRecord:
    record = new_run(**changes)
    assert await state.create(record, event(record, 1, EventKind.ACCEPTED))
    return record


async def test_a_run_reads_back_as_it_was_written(state: StateManager) -> None:
    record = await created(state)
    assert await state.read(record.execution_id) == record


async def test_the_same_id_makes_no_second_run(state: StateManager) -> None:
    record = await created(state)
    other = replace(record, inputs={"text": "other"})
    assert not await state.create(other, event(other, 1, EventKind.ACCEPTED))
    assert await state.read(record.execution_id) == record
    assert len(await state.events(record.execution_id, 0)) == 1


async def test_a_run_that_nobody_promised_is_forgotten_and_a_promised_one_is_not(
    state: StateManager, link: Link
) -> None:
    record = await created(state)
    run_keys = [keys.execution_head(record.execution_id), keys.execution_events(record.execution_id)]
    assert all([0 < await link.execute("PTTL", key) <= 3_600_000 for key in run_keys])
    await state.accept(record.execution_id)
    assert [await link.execute("PTTL", key) for key in run_keys] == [-1, -1]


async def test_opening_a_run_keeps_it(state: StateManager, link: Link) -> None:
    record = await created(state)
    await state.open(record.execution_id, 1, "a")
    assert await link.execute("PTTL", keys.execution_head(record.execution_id)) == -1


@pytest.mark.parametrize("status", [ExecutionStatus.COMPLETED, ExecutionStatus.FAILED, ExecutionStatus.CANCELLED])
async def test_a_run_that_has_ended_is_kept_for_a_while_and_then_forgotten(link: Link, status: ExecutionStatus) -> None:
    state = StateManager(link, keep_s=60)
    record = await created(state)
    await state.open(record.execution_id, 7, "a")
    await commit(state, record, steps=[StepRecord("read")])
    assert await _kept_ms(link, record) == [-1, -1, -1], "it goes on"
    assert await state.status_of(record.execution_id) is ExecutionStatus.QUEUED
    await commit(state, record, sequence=2, head=HeadChange(status=status))
    await state.accept(record.execution_id)  # whose reply was late
    assert all(50_000 < ms <= 60_000 for ms in await _kept_ms(link, record))
    assert await state.status_of(record.execution_id) is status


async def _kept_ms(link: Link, record: ExecutionRecord) -> list[int]:
    run = record.execution_id
    names = (keys.execution_head(run), keys.execution_steps(run), keys.execution_events(run))
    return [await link.execute("PTTL", name) for name in names]


async def test_a_run_that_is_forgotten_is_not_found_and_its_id_may_be_used_again(link: Link) -> None:
    state = StateManager(link, keep_s=0.001)
    record = await created(state)
    await state.open(record.execution_id, 7, "a")
    await commit(state, record, head=COMPLETED)
    async with asyncio.timeout(5):
        while await state.status_of(record.execution_id) is not None:
            pass
    for ask in (state.read(record.execution_id), state.last_event(record.execution_id)):
        with pytest.raises(FlowError) as caught:
            await ask
        assert caught.value.record.reason is Reason.EXECUTION_NOT_FOUND
    assert await state.create(record, event(record, 1, EventKind.ACCEPTED))


async def test_by_default_a_run_is_kept_for_a_week(state: StateManager, link: Link) -> None:
    record = await created(state)
    await state.open(record.execution_id, 7, "a")
    await commit(state, record, head=COMPLETED, steps=[StepRecord("read")])
    week_ms = 7 * 24 * 3600 * 1000
    assert all(week_ms - 60_000 < ms <= week_ms for ms in await _kept_ms(link, record))


async def test_a_transition_is_read_back_whole(state: StateManager) -> None:
    record = await created(state)
    await state.open(record.execution_id, 7, "server-1")
    step = StepRecord("read", StepStatus.COMPLETED, attempt=1, output={"n": 3}, started_at_ms=NOW)
    change = HeadChange(
        status=ExecutionStatus.RUNNING, progress=Progress(50.0, "read", ("read",)), started_at_ms=NOW, server="server-1"
    )
    assert await commit(state, record, epoch=7, sequence=1, head=change, steps=[step], events=2) is None
    assert await state.read(record.execution_id) == replace(change.applied_to(record), sequence=3, steps={"read": step})
    assert [found.sequence for found in await state.events(record.execution_id, 0)] == [1, 2, 3]
    assert await state.last_event(record.execution_id) == event(record, 3)


async def commit(
    state: StateManager,
    record: ExecutionRecord,
    *,
    epoch: int = 7,
    sequence: int = 1,
    head: HeadChange | None = None,
    steps: list[StepRecord] | None = None,
    events: int = 1,
) -> Signal | None:
    return await state.commit(
        record.execution_id,
        epoch=epoch,
        sequence=sequence,
        head=head or HeadChange(),
        steps=steps or [],
        events=[event(record, sequence + 1 + index) for index in range(events)],
    )


async def test_a_commit_whose_reply_was_lost_is_applied_once(state: StateManager) -> None:
    record = await created(state)
    await state.open(record.execution_id, 7, "a")
    for _ in range(3):
        await commit(state, record, events=2)
    assert (await state.read(record.execution_id)).sequence == 3
    assert len(await state.events(record.execution_id, 0)) == 3


async def test_a_last_commit_whose_reply_was_lost_is_answered_as_applied(state: StateManager) -> None:
    record = await created(state)
    await state.open(record.execution_id, 7, "a")
    for _ in range(2):
        await commit(state, record, head=COMPLETED)
    assert (await state.read(record.execution_id)).status is ExecutionStatus.COMPLETED


Refused = Callable[[StateManager, ExecutionRecord], object]


async def _zombie(state: StateManager, record: ExecutionRecord) -> None:
    await state.open(record.execution_id, 8, "b")
    await commit(state, record, epoch=7)


async def _late_open(state: StateManager, record: ExecutionRecord) -> None:
    await state.open(record.execution_id, 6, "b")


async def _open_of_another_with_this_epoch(state: StateManager, record: ExecutionRecord) -> None:
    await state.open(record.execution_id, 7, "b")


async def _gap(state: StateManager, record: ExecutionRecord) -> None:
    await commit(state, record, sequence=4)


async def _step_back(state: StateManager, record: ExecutionRecord) -> None:
    await commit(state, record, events=3)
    await commit(state, record, sequence=1, events=2)


async def _second_end(state: StateManager, record: ExecutionRecord) -> None:
    await commit(state, record, head=COMPLETED)
    await commit(state, record, sequence=2, head=COMPLETED)


async def _open_after_the_end(state: StateManager, record: ExecutionRecord) -> None:
    await commit(state, record, head=COMPLETED)
    await state.open(record.execution_id, 9, "b")


async def _commit_to_nothing(state: StateManager, record: ExecutionRecord) -> None:
    await commit(state, replace(record, execution_id=uuid4().hex))


async def _open_nothing(state: StateManager, record: ExecutionRecord) -> None:
    await state.open(uuid4().hex, 9, "b")


REFUSALS = {
    "a zombie's commit": (_zombie, Loss.FENCED),
    "a late open": (_late_open, Loss.FENCED),
    "an open by another with the same epoch": (_open_of_another_with_this_epoch, Loss.FENCED),
    "a commit from the future": (_gap, Loss.SEQ),
    "a commit from the past": (_step_back, Loss.SEQ),
    "a second end": (_second_end, Loss.ENDED),
    "an open after the end": (_open_after_the_end, Loss.ENDED),
    "a commit to no run": (_commit_to_nothing, Loss.GONE),
    "an open of no run": (_open_nothing, Loss.GONE),
}


@pytest.mark.parametrize("case", REFUSALS)
async def test_what_is_refused_says_why_and_writes_nothing(state: StateManager, link: Link, case: str) -> None:
    provoke, loss = REFUSALS[case]
    record = await created(state)
    await state.open(record.execution_id, 7, "a")
    before: list[object] = []

    async def snapshot() -> list[object]:
        head = dict(
            zip(*[iter(await link.execute("HGETALL", keys.execution_head(record.execution_id)))] * 2, strict=True)
        )
        return [head[b"seq"], head[b"status"], await link.execute("XLEN", keys.execution_events(record.execution_id))]

    with pytest.raises(RunLostError) as caught:
        try:
            await provoke(state, record)
        finally:
            before = await snapshot()
    assert caught.value.loss is loss
    assert await snapshot() == before
    sequence, *_, events = before
    assert sequence == str(events).encode()


async def test_an_open_whose_reply_was_lost_can_be_sent_again(state: StateManager) -> None:
    record = await created(state)
    opened = [await state.open(record.execution_id, 7, "a") for _ in range(2)]
    assert [run.opens for run in opened] == [1, 1]


async def test_opens_count_until_the_run_moves(state: StateManager) -> None:
    record = await created(state)
    assert [(await state.open(record.execution_id, epoch, "a")).opens for epoch in (3, 4, 5)] == [1, 2, 3]
    await commit(state, record, epoch=5, events=0)
    assert (await state.open(record.execution_id, 6, "a")).opens == 1


async def test_a_signal_reaches_the_owner_by_push_by_commit_and_by_open(state: StateManager) -> None:
    record = await created(state)
    owner = uuid4().hex
    await state.open(record.execution_id, 7, owner)
    pushed: asyncio.Queue[bytes | None] = asyncio.Queue()
    end = state.signalled(owner, pushed.put_nowait)
    assert await asyncio.wait_for(pushed.get(), 5) is None
    assert await state.signal(record.execution_id, Signal.CANCEL) is ExecutionStatus.QUEUED
    assert await asyncio.wait_for(pushed.get(), 5) == record.execution_id.encode()
    end()
    assert await commit(state, record) is Signal.CANCEL
    assert (await state.open(record.execution_id, 8, "b")).signal is Signal.CANCEL
    assert await state.signal_of(record.execution_id) is Signal.CANCEL


async def test_a_signal_to_a_run_that_has_ended_changes_nothing(state: StateManager) -> None:
    record = await created(state)
    await state.open(record.execution_id, 7, "a")
    await commit(state, record, head=COMPLETED)
    assert await state.signal(record.execution_id, Signal.CANCEL) is ExecutionStatus.COMPLETED
    assert await state.signal_of(record.execution_id) is None


async def test_a_commit_is_announced_with_its_sequence(state: StateManager) -> None:
    record = await created(state)
    await state.open(record.execution_id, 7, "a")
    heard: asyncio.Queue[bytes | None] = asyncio.Queue()
    end = state.follow(record.execution_id, heard.put_nowait)
    assert await asyncio.wait_for(heard.get(), 5) is None
    await commit(state, record, events=3)
    assert await asyncio.wait_for(heard.get(), 5) == b"4"
    end()


@pytest.mark.parametrize("unknown", ["nothing", "flows", "}", "", "a/b", "x" * 3000])
async def test_an_id_that_is_no_run_is_not_found(state: StateManager, link: Link, unknown: str) -> None:
    await link.execute("SET", keys.execution_steps("flows"), "of another kind")
    for ask in (state.read(unknown), state.accept(unknown), state.signal(unknown, Signal.CANCEL)):
        with pytest.raises(FlowError) as caught:
            await ask
        assert caught.value.record.reason is Reason.EXECUTION_NOT_FOUND
    await link.execute("DEL", keys.execution_steps("flows"))


async def test_the_index_lists_open_runs_by_age(state: StateManager) -> None:
    young, old = uuid4().hex, uuid4().hex
    await state.list_open(young, 200)
    await state.list_open(old, 100)
    assert await state.open_runs(150, offset=0, limit=10) == [old]
    assert await state.open_runs(250, offset=0, limit=10) == [old, young]
    assert await state.open_runs(250, offset=1, limit=10) == [young]
    for run in (old, young):
        await state.unlist_open(run)


async def test_a_large_transition_is_one_transition(state: StateManager) -> None:
    record = await created(state)
    await state.open(record.execution_id, 7, "a")
    steps = [StepRecord(f"each/{index}", StepStatus.COMPLETED, attempt=1) for index in range(5_000)]
    await commit(state, record, steps=steps)
    assert len((await state.read(record.execution_id)).steps) == 5_000


async def test_no_server_answers_as_store_unavailable_in_bounded_time() -> None:
    async with Link("redis://127.0.0.1:1/0", patience_s=0.1) as link:
        with pytest.raises(FlowError) as caught:
            await asyncio.wait_for(StateManager(link).read("x"), 5)
    assert caught.value.record.reason is Reason.STORE_UNAVAILABLE


async def test_functions_that_the_server_lost_are_loaded_again(state: StateManager, link: Link) -> None:
    await created(state)
    await link.execute("FUNCTION", "FLUSH")
    await created(state)


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        (
            {"a": 1, "b": {"x": [1, {"p": 1, "q": 2}], "y": 2}},
            {"b": {"y": 2, "x": [1, {"q": 2, "p": 1}]}, "a": 1},
            True,
        ),
        ({"a": float("nan")}, {"a": float("nan")}, True),
        ({"a": 1}, {"a": 2}, False),
        ({"a": 1}, {"a": 1, "b": None}, False),
        ({"a": 1}, {"a": True}, False),
        ({"a": [1, 2]}, {"a": [2, 1]}, False),
    ],
)
def test_inputs_are_compared_by_value(left: dict[str, object], right: dict[str, object], expected: bool) -> None:
    assert same_inputs(left, right) is expected
