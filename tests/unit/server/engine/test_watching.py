"""Watchers see every stored event once and in order, whatever way they hear of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from uuid import uuid4

import pytest

from promptflow_core import keys
from promptflow_core.errors import FlowError, Reason
from promptflow_core.records import EventKind, EventRecord, ExecutionRecord, ExecutionStatus, Progress
from promptflow_server.engine.transitions import Announce
from promptflow_server.engine.watching import FEED_LENGTH, Watching
from promptflow_server.store.records import HeadChange, encode_record
from promptflow_server.store.state import EVENTS_PER_READ, StateManager
from promptflow_workers.dispatch.link import Link
from promptflow_workers.dispatch.pushes import OnMessage

NEVER = 60.0


class Writer:
    """The owner of a run, as far as its events go."""

    def __init__(self, state: StateManager, watching: Watching) -> None:
        self.state = state
        self.watching = watching
        self.run_id = uuid4().hex
        self.sequence = 1

    async def create(self) -> None:
        record = ExecutionRecord(self.run_id, "f", 1, "d", ExecutionStatus.QUEUED, 1, {})
        await self.state.create(record, EventRecord(self.run_id, 1, 0, EventKind.ACCEPTED))
        await self.state.open(self.run_id, 1, "owner")

    async def write(self, count: int = 1, *, kind: EventKind = EventKind.STEP_STARTED, is_told: bool = True) -> None:
        numbers = range(self.sequence + 1, self.sequence + count + 1)
        events = [EventRecord(self.run_id, number, 0, kind, Progress(float(number))) for number in numbers]
        head = HeadChange(status=ExecutionStatus.COMPLETED) if kind is EventKind.DONE else HeadChange()
        await self.state.commit(self.run_id, epoch=1, sequence=self.sequence, head=head, events=events)
        self.sequence += count
        if is_told:
            self.watching.tell(self.run_id, events)

    def progress(self, percentage: float, step: str = "a") -> EventRecord:
        announced = self.announced(percentage, step)
        self.watching.tell(self.run_id, [], [announced])
        self.watching.publish(announced)
        return announced.event

    def announced(self, percentage: float, step: str = "a") -> Announce:
        event = EventRecord(self.run_id, 0, 0, EventKind.STEP_PROGRESS, Progress(percentage, step, (step,)), step=step)
        return Announce(event, self.sequence)


class Viewer:
    """A watcher that a test asks for one event after the other."""

    def __init__(self, watching: Watching, run_id: str, after: int = 0) -> None:
        self._events = watching.watch(run_id, after)

    async def next(self) -> EventRecord:
        return await asyncio.wait_for(anext(self._events), 5)

    async def sequences(self, count: int) -> list[int]:
        return [(await self.next()).sequence for _ in range(count)]

    async def rest(self) -> list[EventRecord]:
        return [event async for event in self._events]

    async def leave(self) -> None:
        await self._events.aclose()


@pytest.fixture
async def link(redis_url: str) -> AsyncIterator[Link]:
    async with Link(redis_url) as link:
        yield link


@pytest.fixture
async def here(link: Link) -> AsyncIterator[Watching]:
    watching = Watching(StateManager(link), "here", is_driven_here=lambda _: True, look_s=NEVER)
    task = asyncio.create_task(watching.run())
    yield watching
    task.cancel()


@pytest.fixture
async def elsewhere(redis_url: str) -> AsyncIterator[Watching]:
    async with Link(redis_url) as link:
        yield Watching(StateManager(link), "elsewhere", is_driven_here=lambda _: False, look_s=NEVER)


@pytest.fixture
async def writer(link: Link, here: Watching) -> Writer:
    writer = Writer(StateManager(link), here)
    await writer.create()
    return writer


async def test_replay_then_follow_without_gap_or_repeat(writer: Writer, here: Watching, elsewhere: Watching) -> None:
    await writer.write(3)
    viewers = [Viewer(here, writer.run_id), Viewer(elsewhere, writer.run_id), Viewer(here, writer.run_id, after=2)]
    firsts = [await viewer.next() for viewer in viewers]
    assert [event.sequence for event in firsts] == [1, 1, 3]
    for _ in range(20):
        await writer.write()
    await writer.write(kind=EventKind.DONE)
    for viewer, first in zip(viewers, firsts, strict=True):
        rest = await asyncio.wait_for(viewer.rest(), 5)
        assert [event.sequence for event in rest] == list(range(first.sequence + 1, 26))


async def test_a_watcher_that_is_too_slow_for_its_feed_reads_what_it_missed(writer: Writer, here: Watching) -> None:
    viewer = Viewer(here, writer.run_id)
    await viewer.next()
    total = 2 * max(FEED_LENGTH, EVENTS_PER_READ) + 7
    for _ in range(total):
        await writer.write()
    assert await viewer.sequences(total) == list(range(2, total + 2))
    await viewer.leave()


async def test_what_another_process_stores_comes_by_push(writer: Writer, elsewhere: Watching, link: Link) -> None:
    viewer = Viewer(elsewhere, writer.run_id)
    await viewer.next()
    await _subscribed(link, writer.run_id)
    for number in range(2, 6):
        await writer.write(is_told=False)
        assert (await viewer.next()).sequence == number
    await viewer.leave()


class Deaf(StateManager):
    """Pushes never arrive."""

    def follow(self, execution_id: str, on_message: OnMessage) -> Callable[[], None]:
        return lambda: None


async def test_without_any_push_a_watcher_looks_by_itself(writer: Writer, link: Link) -> None:
    viewer = Viewer(Watching(Deaf(link), "deaf", is_driven_here=lambda _: False, look_s=0.05), writer.run_id)
    await viewer.next()
    await writer.write()
    assert (await viewer.next()).sequence == 2
    await viewer.leave()


@pytest.mark.parametrize("after", [3, 4, 1000])
async def test_at_or_past_the_end_it_is_done_alone(writer: Writer, here: Watching, after: int) -> None:
    await writer.write()
    await writer.write(kind=EventKind.DONE)
    assert [(event.sequence, event.kind) for event in await Viewer(here, writer.run_id, after).rest()] == [
        (3, EventKind.DONE)
    ]


async def test_past_what_is_there_it_waits_for_what_comes_after(writer: Writer, here: Watching) -> None:
    viewer = Viewer(here, writer.run_id, after=3)
    coming = asyncio.create_task(viewer.next())
    await writer.write(4)
    assert (await asyncio.wait_for(coming, 5)).sequence == 4
    await viewer.leave()


async def test_progress_comes_in_between_and_never_falls(writer: Writer, here: Watching) -> None:
    viewer = Viewer(here, writer.run_id)
    await viewer.next()
    await writer.write(4)
    writer.progress(3.0)
    higher = writer.progress(50.0)
    writer.progress(20.0)
    await writer.write()
    assert await viewer.sequences(4) == [2, 3, 4, 5]
    assert await viewer.next() == higher
    assert (await viewer.next()).sequence == 6
    await viewer.leave()


async def test_progress_reaches_other_processes_and_comes_once_at_home(
    writer: Writer, here: Watching, elsewhere: Watching, link: Link
) -> None:
    at_home, away = Viewer(here, writer.run_id), Viewer(elsewhere, writer.run_id)
    assert [(await viewer.next()).sequence for viewer in (at_home, away)] == [1, 1]
    await _subscribed(link, writer.run_id, count=2)
    told = writer.progress(7.0)
    assert await away.next() == told
    assert await at_home.next() == told
    await writer.write(kind=EventKind.DONE)
    assert [event.sequence for event in await asyncio.wait_for(at_home.rest(), 5)] == [2]
    await away.leave()


async def test_progress_of_what_is_over_by_then_is_not_shown(writer: Writer, here: Watching) -> None:
    viewer = Viewer(here, writer.run_id)
    await viewer.next()
    late = writer.announced(60.0)
    await writer.write()
    writer.watching.tell(writer.run_id, [], [late])
    on_time = writer.progress(60.0, "b")
    await writer.write()
    assert [await viewer.next() for _ in range(2)][1] == on_time
    assert await viewer.sequences(1) == [3]
    await viewer.leave()


async def test_progress_that_another_process_tells_too_late_is_not_shown(
    writer: Writer, here: Watching, elsewhere: Watching, link: Link
) -> None:
    viewer = Viewer(elsewhere, writer.run_id)
    await viewer.next()
    await _subscribed(link, writer.run_id)
    late = writer.announced(60.0)
    await writer.write(is_told=False)
    here.publish(late)
    on_time = writer.announced(61.0, "b")
    here.publish(on_time)
    assert [(await viewer.next()).sequence, await viewer.next()] == [2, on_time.event]
    await viewer.leave()


async def test_progress_that_waits_to_be_published_goes_with_the_next_stored_event(
    writer: Writer, here: Watching
) -> None:
    messages: asyncio.Queue[bytes] = asyncio.Queue()

    class Listening(StateManager):
        async def announce(self, execution_id: str, message: bytes) -> None:
            messages.put_nowait(message)

    async with Link("redis://127.0.0.1:1/0") as link:
        watching = Watching(Listening(link), "here", is_driven_here=lambda _: True)
        watching.publish(writer.announced(10.0))
        watching.tell(writer.run_id, [EventRecord(writer.run_id, 2, 0, EventKind.STEP_COMPLETED)])
        watching.publish(Announce(EventRecord("other", 0, 0, EventKind.STEP_PROGRESS, step="a"), 1))
        publishing = asyncio.create_task(watching.run())
        assert b"other" in await asyncio.wait_for(messages.get(), 5)
        publishing.cancel()
    assert messages.empty()


async def test_a_new_owner_that_is_behind_what_was_told_makes_nothing_fall(writer: Writer, here: Watching) -> None:
    viewer = Viewer(here, writer.run_id)
    await viewer.next()
    writer.progress(70.0)
    assert (await viewer.next()).progress.percentage == 70.0
    await writer.write()
    writer.progress(30.0)
    await writer.write(is_told=False)
    here.look(writer.run_id)
    shown = [await viewer.next() for _ in range(2)]
    assert [(event.sequence, event.progress.percentage) for event in shown] == [(2, 70.0), (3, 70.0)]
    await viewer.leave()


class Overheard(StateManager):
    """A test says what is pushed."""

    push: OnMessage

    def follow(self, execution_id: str, on_message: OnMessage) -> Callable[[], None]:
        self.push = on_message
        return lambda: None


@pytest.mark.parametrize(
    "text",
    [
        b"1\0\xc7\x00\x63",  # an extension that nobody knows
        b"1\0\xc1",
        b"1\0\x81\xa4kind\xa3new",
        b"x\0" + encode_record(EventRecord("x", 0, 0, EventKind.STEP_PROGRESS)),
        b"1\0" + b"\x91" * 100_000,
        b"",
    ],
)
async def test_a_message_of_another_version_is_a_reason_to_look_and_no_more(
    writer: Writer, link: Link, text: bytes
) -> None:
    state = Overheard(link)
    viewer = Viewer(Watching(state, "x", is_driven_here=lambda _: False, look_s=NEVER), writer.run_id)
    await viewer.next()
    await writer.write()
    state.push(b"uother\0" + text)
    assert (await viewer.next()).sequence == 2
    await viewer.leave()


async def test_a_run_that_vanishes_ends_its_watchers(writer: Writer, link: Link) -> None:
    watching = Watching(StateManager(link), "x", is_driven_here=lambda _: False, look_s=0.05)
    viewer = Viewer(watching, writer.run_id)
    await viewer.next()
    await link.execute("DEL", keys.execution_head(writer.run_id), keys.execution_events(writer.run_id))
    with pytest.raises(FlowError) as caught:
        await viewer.next()
    assert caught.value.record.reason is Reason.EXECUTION_NOT_FOUND


async def test_nothing_is_listened_to_after_the_last_watcher_has_left(
    writer: Writer, here: Watching, link: Link
) -> None:
    viewers = [Viewer(here, writer.run_id) for _ in range(2)]
    for viewer in viewers:
        await viewer.next()
    await _subscribed(link, writer.run_id)
    for viewer in viewers:
        await viewer.leave()
    await _subscribed(link, writer.run_id, count=0)


async def test_a_store_that_stays_away_ends_a_watch() -> None:
    now = iter(range(0, 10_000, 20))
    async with Link("redis://127.0.0.1:1/0", patience_s=0.05) as link:
        watching = Watching(StateManager(link), "x", is_driven_here=lambda _: False, monotonic=lambda: float(next(now)))
        with pytest.raises(FlowError) as caught:
            await Viewer(watching, "x").next()
    assert caught.value.record.reason is Reason.STORE_UNAVAILABLE


async def _subscribed(link: Link, run_id: str, count: int = 1) -> None:
    """Wait until that many processes listen to the run."""
    async with asyncio.timeout(5):
        while (await link.execute("PUBSUB", "SHARDNUMSUB", keys.execution_events(run_id)))[1] != count:
            pass
