"""RunIndex: every run by age, of all flows and of each, for lists. An index and its runs lie on different slots.

An entry says when a run was created, what it is called and which flow it is of, so that entries alone give the order of
a list and its filters by flow and version; only what a page shows is read. Entries are kept in the order of their text,
all with one score: a page goes on after the last entry of the one before, whatever came or went in between. All lists
are parts of one key, so that a run enters or leaves all of them by one command.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from promptflow_core import keys
from promptflow_core.records import ExecutionRecord, ExecutionStatus
from promptflow_server.store.page_tokens import no_token, page_token, place_of
from promptflow_server.store.records import decode_summary
from promptflow_workers.dispatch.link import Link

SCANNED_PER_PAGE = 1_000
"""Entries that one page looks at, so that a filter which nothing matches takes no longer than another."""

READ_AT_ONCE = 200
SWEPT_AT_ONCE = 250
SWEPT_PAGES = 80

_TIME_DIGITS = 14
_FLOW = re.compile(r"[a-z][a-z0-9_]*")
_ENTRY = re.compile(rf"[0-9]{{{_TIME_DIGITS}}}/[^/]*/[^/]*/[0-9]+")
_ALL = "/"
_HEAD_FIELDS = (
    *("flow", "version", "digest", "status", "progress", "error"),
    *("labels", "created", "started", "finished", "deadline", "server"),
)


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which runs are listed: "" any flow, 0 any version, no status any status."""

    flow: str = ""
    version: int = 0
    statuses: frozenset[ExecutionStatus] = frozenset()

    @property
    def name(self) -> str:
        """Tells lists with other filters apart."""
        return f"{self.flow}/{self.version}/{','.join(sorted(self.statuses))}"


@dataclass(frozen=True, slots=True)
class RunPage:
    """Runs, the newest first, without inputs, steps and result; `next_token` leads to the next page, "" at the end.

    A page may hold fewer runs than asked for, or none, and still have a next one.
    """

    runs: tuple[ExecutionRecord, ...]
    next_token: str


class RunIndex:
    """Lists of runs in Redis; every method raises FlowError STORE_UNAVAILABLE."""

    def __init__(self, link: Link, *, scanned_per_page: int = SCANNED_PER_PAGE) -> None:
        self._link = link
        self._scanned_per_page = scanned_per_page
        self._swept = ""

    async def add(self, record: ExecutionRecord) -> None:
        """Enter a run; again changes nothing."""
        for_all, of_flow = _members_of(entry_of(record))
        await self._link.execute("ZADD", keys.run_index(), 0, for_all, 0, of_flow)

    async def page(self, wanted: RunFilter, *, size: int, token: str = "") -> RunPage:
        """The first runs of a list, or the next where the page before gave `token`: at most `size`, of those scanned
        for one page.

        Raises:
            PageTokenError: no page of this list gave the token.
        """
        after = _entry_of(token, wanted)
        if wanted.flow and not _FLOW.fullmatch(wanted.flow):
            return RunPage((), "")
        runs: list[ExecutionRecord] = []
        left = self._scanned_per_page
        while left > 0:
            # One more than is shown tells whether there is a next page; a filter leaves out nobody knows how many.
            is_filtered = wanted.version or wanted.statuses
            count = min(READ_AT_ONCE, left) if is_filtered else min(size - len(runs) + 1, left)
            entries = await self._entries(f"{wanted.flow}/", after, count)
            left -= len(entries)
            for entry, run in zip(entries, await self._runs(entries, wanted), strict=True):
                after = entry
                if run is not None and (not wanted.statuses or run.status in wanted.statuses):
                    runs.append(run)
                if len(runs) == size:
                    is_last = len(entries) < count and entry == entries[-1]
                    return RunPage(tuple(runs), "" if is_last else page_token(after, wanted.name))
            if len(entries) < count:
                return RunPage(tuple(runs), "")
        return RunPage(tuple(runs), page_token(after, wanted.name))

    async def sweep(self) -> int:
        """Strike runs that Redis has forgotten; answers how many.

        The oldest go first, as long as there are such; one more page is another with each sweep, until all had theirs.
        """
        struck, after = 0, ""
        for _ in range(SWEPT_PAGES):
            gone, after = await self._sweep_page(after)
            struck += gone
            if not gone or not after:
                break
        gone, self._swept = await self._sweep_page(self._swept)
        return struck + gone

    async def _sweep_page(self, after: str) -> tuple[int, str]:
        """How many were struck after an entry, and the last that was looked at, "" at the end of the index."""
        found = await self._link.execute(
            *("ZRANGE", keys.run_index(), f"({_ALL}{after}", _end(_ALL), "BYLEX", "LIMIT", 0, SWEPT_AT_ONCE)
        )
        entries = [member.decode().removeprefix(_ALL) for member in found]
        heads = await self._heads(entries, ("status",))
        gone = [entry for entry, head in zip(entries, heads, strict=True) if not head]
        await self._strike(gone)
        return len(gone), entries[-1] if len(entries) == SWEPT_AT_ONCE else ""

    async def _entries(self, prefix: str, after: str, count: int) -> Sequence[str]:
        highest = f"({prefix}{after}" if after else _end(prefix)
        found = await self._link.execute(
            *("ZRANGE", keys.run_index(), highest, f"({prefix}", "BYLEX", "REV", "LIMIT", 0, count)
        )
        return [member.decode().removeprefix(prefix) for member in found]

    async def _runs(self, entries: Sequence[str], wanted: RunFilter) -> Sequence[ExecutionRecord | None]:
        """The run of each entry; None where the version is another or Redis has forgotten the run, which is struck."""
        matching = [entry for entry in entries if wanted.version in (0, _version_of(entry))]
        heads = dict(zip(matching, await self._heads(matching, _HEAD_FIELDS), strict=True))
        await self._strike([entry for entry, head in heads.items() if not head])
        return [decode_summary(_id_of(entry), heads[entry]) if heads.get(entry) else None for entry in entries]

    async def _heads(self, entries: Sequence[str], names: Sequence[str]) -> Sequence[Mapping[str, bytes]]:
        """The given fields of each run's head, empty where there is none."""
        found: Sequence[Sequence[Any]] = await asyncio.gather(
            *(self._link.execute("HMGET", keys.execution_head(_id_of(entry)), *names) for entry in entries)
        )
        heads = [
            {name: value for name, value in zip(names, values, strict=True) if value is not None} for values in found
        ]
        return [head if "status" in head else {} for head in heads]

    async def _strike(self, entries: Sequence[str]) -> None:
        members = [member for entry in entries for member in _members_of(entry)]
        if members:
            await self._link.execute("ZREM", keys.run_index(), *members)


def entry_of(record: ExecutionRecord) -> str:
    """How a run is entered; later runs sort after earlier ones."""
    return f"{record.created_at_ms:0{_TIME_DIGITS}}/{record.execution_id}/{record.flow}/{record.version}"


def _entry_of(token: str, wanted: RunFilter) -> str:
    entry = place_of(token, wanted.name)
    if entry and not _ENTRY.fullmatch(entry):
        raise no_token()
    return entry


def _members_of(entry: str) -> tuple[str, str]:
    return f"{_ALL}{entry}", f"{_flow_of(entry)}/{entry}"


def _end(prefix: str) -> str:
    """Above every member that begins with a prefix: entries begin with digits, which a colon follows."""
    return f"({prefix}:"


def _id_of(entry: str) -> str:
    return entry.split("/")[1]


def _flow_of(entry: str) -> str:
    return entry.split("/")[2]


def _version_of(entry: str) -> int:
    return int(entry.split("/")[3])
