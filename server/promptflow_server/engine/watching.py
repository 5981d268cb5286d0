"""How watchers hear of a run: at once where it is driven here, by a push where it is driven elsewhere, and by looking.

The stored events are the truth; what arrives here only says when to look, or spares the look. What is not stored is
shown behind the stored event that it follows or not at all: it says how the run stood then.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace

import msgspec

from promptflow_core.errors import FlowError, Reason
from promptflow_core.records import EventKind, EventRecord
from promptflow_server.engine.transitions import Announce
from promptflow_server.store.records import decode_record, encode_record
from promptflow_server.store.state import EVENTS_PER_READ, StateManager

LOOK_S = 2.0
OUTAGE_S = 30.0
BACKOFF_S = 0.2
FEED_LENGTH = 256
PUBLISH_S = 0.05

_UNSTORED = b"u"
_MALFORMED = (msgspec.MsgspecError, ArithmeticError, RecursionError, ValueError)

_Heard = EventRecord | Announce | int | None
"""A stored event, one that is not stored, the sequence of a stored one, or None: look for yourself."""


class Watching:
    """The watchers of this process. One connection listens for all of them, a channel per run that is watched.

    `is_driven_here` tells the runs whose owner is this process: it is quicker than their pushes.
    """

    def __init__(
        self,
        state: StateManager,
        server_id: str,
        *,
        is_driven_here: Callable[[str], bool],
        look_s: float = LOOK_S,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._state = state
        self._prefix = _UNSTORED + server_id.encode() + b"\0"
        self._is_driven_here = is_driven_here
        self._look_s = look_s
        self._monotonic = monotonic
        self._feeds: dict[str, list[_Feed]] = {}
        self._channels: dict[str, Callable[[], None]] = {}
        self._unpublished: dict[str, dict[str, Announce]] = {}
        self._has_unpublished = asyncio.Event()

    def tell(self, execution_id: str, stored: Sequence[EventRecord], announced: Sequence[Announce] = ()) -> None:
        """What the owner of a run has just stored, and what it does not store."""
        told: list[EventRecord | Announce] = sorted([*stored, *announced], key=_place)
        for feed in self._feeds.get(execution_id, ()):
            feed.extend(told)
        if stored:
            # What was not published yet follows an older event, so that nobody would show it.
            self._unpublished.pop(execution_id, None)

    def look(self, execution_id: str) -> None:
        """The run is driven here no more: what follows is heard from elsewhere, or was missed."""
        for feed in self._feeds.get(execution_id, ()):
            feed.extend([None])

    def publish(self, announced: Announce) -> None:
        """Tell other processes an event that is not stored: of each step the latest, 20 times a second."""
        event = announced.event
        self._unpublished.setdefault(event.execution_id, {})[event.step] = announced
        self._has_unpublished.set()

    async def run(self) -> None:
        """Publish what is not stored, until cancelled."""
        while True:
            await self._has_unpublished.wait()
            self._has_unpublished.clear()
            for execution_id in tuple(self._unpublished):
                for announced in self._unpublished.pop(execution_id, {}).values():
                    with suppress(FlowError):  # it may be lost
                        await self._state.announce(execution_id, self._prefix + _encoded(announced))
            await asyncio.sleep(PUBLISH_S)

    async def watch(self, execution_id: str, after: int) -> AsyncGenerator[EventRecord]:
        """As `Engine.watch`."""
        feed = self._open(execution_id)
        try:
            async with aclosing(self._follow(execution_id, after, feed)) as events:
                async for event in events:
                    yield event
                    if event.kind is EventKind.DONE:
                        return
        finally:
            self._close(execution_id, feed)

    async def _follow(self, execution_id: str, last: int, feed: _Feed) -> AsyncGenerator[EventRecord]:
        percentage = 0.0
        must_look = True
        while True:
            if must_look:
                page = await self._look(execution_id, last)
                for event in page:
                    last = max(last, event.sequence)
                    percentage = max(percentage, event.progress.percentage)
                    yield _at_least(percentage, event)
                if len(page) == EVENTS_PER_READ:
                    continue
                must_look = False
            match await feed.next(self._look_s):
                case Announce(event=event, after=after) if after == last:
                    if event.progress.percentage >= percentage:
                        percentage = event.progress.percentage
                        yield event
                case EventRecord() as event if event.sequence == last + 1:
                    last, percentage = event.sequence, max(percentage, event.progress.percentage)
                    yield _at_least(percentage, event)
                case EventRecord(sequence=sequence) | Announce(after=sequence) | int(sequence):
                    must_look = sequence > last
                case None:
                    must_look = True

    async def _look(self, execution_id: str, last: int) -> list[EventRecord]:
        """Stored events after `last`; at or past the end of a run that is over, its `done` again."""
        give_up_at = self._monotonic() + OUTAGE_S
        while True:
            try:
                page = await self._state.events(execution_id, last)
                if page:
                    return page
                latest = await self._state.last_event(execution_id)
            except FlowError as error:
                if error.record.reason is not Reason.STORE_UNAVAILABLE or self._monotonic() > give_up_at:
                    raise
                await asyncio.sleep(BACKOFF_S)
            else:
                if latest.sequence <= last or latest.kind is not EventKind.DONE:
                    return [latest] if latest.kind is EventKind.DONE else []
                # It ended between the two reads, and perhaps not with its next event.

    def _open(self, execution_id: str) -> _Feed:
        feed = _Feed()
        feeds = self._feeds.setdefault(execution_id, [])
        feeds.append(feed)
        if execution_id not in self._channels:
            self._channels[execution_id] = self._state.follow(
                execution_id, lambda message: self._on_message(execution_id, message)
            )
        return feed

    def _close(self, execution_id: str, feed: _Feed) -> None:
        feeds = self._feeds[execution_id]
        feeds.remove(feed)
        if not feeds:
            del self._feeds[execution_id]
            self._channels.pop(execution_id)()

    def _on_message(self, execution_id: str, message: bytes | None) -> None:
        if message is None:
            heard: _Heard = None
        elif self._is_driven_here(execution_id):
            return
        elif message.isdigit():
            heard = int(message)
        elif message.startswith(_UNSTORED) and not message.startswith(self._prefix):
            heard = _decoded(message.partition(b"\0")[2])
        else:
            return
        for feed in self._feeds.get(execution_id, ()):
            feed.extend([heard])


def _place(told: EventRecord | Announce) -> tuple[int, bool]:
    return (told.after, True) if isinstance(told, Announce) else (told.sequence, False)


def _at_least(percentage: float, event: EventRecord) -> EventRecord:
    """The event of a run that has told a higher percentage, to which a new owner has yet to come back."""
    if event.progress.percentage >= percentage:
        return event
    return replace(event, progress=replace(event.progress, percentage=percentage))


def _encoded(announced: Announce) -> bytes:
    return b"%d\0%b" % (announced.after, encode_record(announced.event))


def _decoded(text: bytes) -> Announce | None:
    after, _, event = text.partition(b"\0")
    try:
        return Announce(decode_record(event, EventRecord), int(after))
    except _MALFORMED:  # from a server of another version
        return None


class _Feed:
    """What one watcher has heard and not yet looked at; what it is too slow for is dropped, for it can be read."""

    def __init__(self) -> None:
        self._heard: deque[_Heard] = deque(maxlen=FEED_LENGTH)
        self._has_heard = asyncio.Event()

    def extend(self, heard: Iterable[_Heard]) -> None:
        self._heard.extend(heard)
        self._has_heard.set()

    async def next(self, within_s: float) -> _Heard:
        """The next that was heard; None where nothing was."""
        if not self._heard:
            self._has_heard.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(within_s):
                    await self._has_heard.wait()
        return self._heard.popleft() if self._heard else None
