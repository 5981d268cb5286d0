"""RunIndex on a real Valkey."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import uuid4

import pytest

from promptflow_core import keys
from promptflow_core.errors import ErrorRecord, Reason
from promptflow_core.records import EventKind, EventRecord, ExecutionRecord, ExecutionStatus, Progress
from promptflow_server.store.page_tokens import PageTokenError, page_token
from promptflow_server.store.records import HeadChange
from promptflow_server.store.run_index import RunFilter, RunIndex
from promptflow_server.store.state import StateManager
from promptflow_workers.dispatch.link import Link

NOW = 1_800_000_000_000
EVERY = RunFilter()


@pytest.fixture
async def link(flushed_redis_url: str) -> AsyncIterator[Link]:
    async with Link(flushed_redis_url) as link:
        yield link


@pytest.fixture
def state(link: Link) -> StateManager:
    return StateManager(link)


async def add(state: StateManager, *, age: int = 0, flow: str = "echo", version: int = 1) -> ExecutionRecord:
    record = ExecutionRecord(
        execution_id=str(uuid4()),
        flow=flow,
        version=version,
        bundle_digest="abc",
        status=ExecutionStatus.QUEUED,
        sequence=1,
        inputs={"text": "hi"},
        labels={"team": "a"},
        created_at_ms=NOW - age,
    )
    await state.create(record, EventRecord(record.execution_id, 1, NOW, EventKind.ACCEPTED))
    await asyncio.gather(state.index.add(record), state.accept(record.execution_id))
    return record


async def end(state: StateManager, run: ExecutionRecord, status: ExecutionStatus) -> None:
    await state.open(run.execution_id, 1, "server-1")
    error = ErrorRecord(Reason.NO_WORKERS, "nobody") if status is ExecutionStatus.FAILED else None
    head = HeadChange(status=status, progress=Progress(100.0), finished_at_ms=NOW + 9, error=error, server="server-1")
    await state.commit(run.execution_id, epoch=1, sequence=1, head=head)


async def forget(link: Link, run: ExecutionRecord) -> None:
    """What Redis does when a run has expired."""
    name = run.execution_id
    await link.execute("DEL", keys.execution_head(name), keys.execution_steps(name), keys.execution_events(name))


async def pages(index: RunIndex, wanted: RunFilter = EVERY, *, size: int) -> list[list[str]]:
    """The ids of every page, to the last."""
    found: list[list[str]] = []
    token = ""
    while True:
        page = await index.page(wanted, size=size, token=token)
        found.append([run.execution_id for run in page.runs])
        token = page.next_token
        if not token:
            return found


async def members(link: Link) -> dict[str, int]:
    """How many runs each list has; that of all is called ""."""
    found = await link.execute("ZRANGE", keys.run_index(), 0, -1)
    return dict(Counter(member.decode().partition("/")[0] for member in found))


def ids(*runs: ExecutionRecord) -> list[str]:
    return [run.execution_id for run in runs]


async def test_a_run_is_listed_by_its_head(state: StateManager) -> None:
    run = await add(state)
    await end(state, run, ExecutionStatus.FAILED)
    (listed,) = (await state.index.page(EVERY, size=10)).runs
    whole = await state.read(run.execution_id)
    assert listed == replace(whole, inputs={}, sequence=0)
    assert listed.error == ErrorRecord(Reason.NO_WORKERS, "nobody")


@pytest.mark.parametrize("size", [1, 2, 3, 6, 7])
async def test_pages_are_the_newest_first_and_whole(state: StateManager, size: int) -> None:
    runs = [await add(state, age=age) for age in (10, 20, 20, 20, 30, 40)]
    listed = await pages(state.index, size=size)
    assert [len(page) for page in listed] == [min(size, 6 - start) for start in range(0, 6, size)]
    flat = [name for page in listed for name in page]
    assert (flat[0], sorted(flat[1:4]), flat[4:]) == (ids(runs[0])[0], sorted(ids(*runs[1:4])), ids(*runs[4:]))


async def test_runs_that_appear_while_paging_neither_repeat_nor_hide_a_run(state: StateManager) -> None:
    runs = [await add(state, age=age) for age in range(10, 20)]
    first = await state.index.page(EVERY, size=4)
    newer = [await add(state, age=age) for age in (9, 5, 0)]
    same_moment = await add(state, age=13)
    second = await state.index.page(EVERY, size=20, token=first.next_token)
    assert ids(*first.runs) == ids(*runs[:4])
    rest = [name for name in ids(*second.runs) if name != same_moment.execution_id]
    assert rest == ids(*runs[4:])
    assert not set(ids(*newer)) & set(ids(*second.runs))


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (EVERY, "fedcba"),
        (RunFilter("echo"), "fca"),
        (RunFilter("echo", 2), "fc"),
        (RunFilter(version=2), "fc"),
        (RunFilter(statuses=frozenset({ExecutionStatus.COMPLETED})), "db"),
        (RunFilter(statuses=frozenset({ExecutionStatus.COMPLETED, ExecutionStatus.FAILED})), "dcb"),
        (RunFilter("echo", 2, frozenset({ExecutionStatus.QUEUED})), "f"),
        (RunFilter("nothing"), ""),
        (RunFilter("other", 9), ""),
        (RunFilter("ech"), ""),
        (RunFilter("echo/01800000000000"), ""),
    ],
)
@pytest.mark.parametrize("size", [1, 2, 50])
async def test_filters(state: StateManager, wanted: RunFilter, expected: str, size: int) -> None:
    shapes = [("echo", 1), ("other", 1), ("echo", 2), ("other", 1), ("other", 1), ("echo", 2)]
    runs = [await add(state, age=-age, flow=flow, version=version) for age, (flow, version) in enumerate(shapes)]
    for letter, status in (("b", "COMPLETED"), ("d", "COMPLETED"), ("c", "FAILED")):
        await end(state, runs["abcdef".index(letter)], ExecutionStatus(status))
    letters = dict(zip(ids(*runs), "abcdef", strict=True))
    listed = await pages(state.index, wanted, size=size)
    assert "".join(letters[name] for page in listed for name in page) == expected
    assert all(len(page) <= size for page in listed)


async def test_a_filter_that_matches_nothing_ends_a_page_with_a_place_to_go_on(state: StateManager, link: Link) -> None:
    runs = [await add(state, age=age) for age in range(10)]
    await end(state, runs[-1], ExecutionStatus.COMPLETED)
    index = RunIndex(link, scanned_per_page=4)
    completed = RunFilter(statuses=frozenset({ExecutionStatus.COMPLETED}))
    assert await pages(index, completed, size=5) == [[], [], ids(runs[-1])]


async def test_a_forgotten_run_leaves_every_index_when_it_is_met(state: StateManager, link: Link) -> None:
    kept, gone = await add(state, age=1), await add(state, age=2)
    await forget(link, gone)
    assert await pages(state.index, size=1) == [ids(kept), []]
    assert await members(link) == {"": 1, "echo": 1}


async def test_the_sweep_strikes_what_nobody_lists(state: StateManager, link: Link) -> None:
    runs = [await add(state, age=age, flow=flow) for age in range(5) for flow in ("echo", "other")]
    for run in runs[::3]:
        await forget(link, run)
    assert await state.index.sweep() == 4
    assert await state.index.sweep() == 0
    assert await members(link) == {"": 6, "echo": 3, "other": 3}


async def test_the_sweep_reaches_what_lies_behind_runs_that_stay(
    state: StateManager, link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("promptflow_server.store.run_index.SWEPT_AT_ONCE", 3)
    runs = [await add(state, age=age) for age in range(12, 0, -1)]
    await forget(link, runs[-1])
    struck = [await state.index.sweep() for _ in range(6)]
    assert sum(struck) == 1


async def test_entering_a_run_again_changes_nothing(state: StateManager, link: Link) -> None:
    run = await add(state)
    await state.index.add(run)
    assert await members(link) == {"": 1, "echo": 1}


@pytest.mark.parametrize("text", ["", "1/2/3/4", "x" * 14 + "/a/b/1", "1" * 14 + "/a/b/x", "1" * 14 + "/a/b"])
async def test_a_token_of_what_is_no_entry_is_refused(state: StateManager, text: str) -> None:
    with pytest.raises(PageTokenError, match="none of ours"):
        await state.index.page(EVERY, size=1, token=page_token(text, EVERY.name))


async def test_a_token_of_another_list_is_refused(state: StateManager) -> None:
    for age in range(2):
        await add(state, age=age)
    token = (await state.index.page(EVERY, size=1)).next_token
    with pytest.raises(PageTokenError, match="other filters"):
        await state.index.page(RunFilter("echo"), size=1, token=token)
