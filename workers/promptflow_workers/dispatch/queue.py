"""The transitions of one queue, typed: the Python face of `queue.lua`, whose header is their reference."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, TypeVar

from redis.exceptions import ResponseError

from promptflow_core import keys
from promptflow_core.errors import FlowError, Reason
from promptflow_workers.dispatch.functions import FunctionLibrary
from promptflow_workers.dispatch.interface import QueueDepth
from promptflow_workers.dispatch.link import Link
from promptflow_workers.dispatch.wire import Argument

LAYOUT = "pf1"
MAX_ITEMS, MAX_BYTES = 256, 4 << 20

T = TypeVar("T")


@dataclass(eq=False, slots=True)
class Job:
    """One hand-off of a call or run to this worker; `token` is what its result is judged by, and a run's epoch.

    Whoever runs it sets `is_started` where giving it back would waste work.
    """

    id: str
    token: int
    body: bytes
    is_started: bool = False


@dataclass(frozen=True, slots=True)
class Beat:
    """What Redis says to a worker that renewed its lease: its time, and token -> id of what the worker should run."""

    now_ms: int
    jobs: Mapping[int, str]


@dataclass(frozen=True, slots=True)
class Lease:
    """How long a worker is trusted without a beat, and how long once its connection is seen to be gone."""

    beat_ms: int = 2000
    lease_ms: int = 8000
    grace_ms: int = 2500


class Queue:
    """One queue, as its producers and its workers use it. Every method is idempotent.

    All raise FlowError: STORE_UNAVAILABLE after `patience_s`, which defaults to the link's; INTERNAL where Redis
    answers with an error, as for a key of the wrong type.
    """

    def __init__(self, link: Link, name: str) -> None:
        self.name = name
        self._link = link
        self._keys = (keys.queue(name),)

    async def put(
        self, owner: str, calls: Sequence[tuple[str, int, bytes]], *, worker: str = ""
    ) -> list[tuple[str, int]]:
        """Put calls (id, epoch, body); answers id and token of those that `worker` has now."""
        flat = [part for call in calls for part in call]
        reply = await self._fcall("put", owner, worker, *flat)
        return [(call_id.decode(), int(token)) for call_id, token in _rows(reply, 2)]

    async def claim(self, worker: str, count: int) -> list[Job] | None:
        """Take up to `count` calls; None where this worker has no lease."""
        return _jobs(await self._fcall("claim", worker, count))

    async def fetch(self, worker: str, jobs: Mapping[int, str]) -> list[Job]:
        """The calls among `jobs` (token -> id) that this worker still has."""
        flat = [part for token, call_id in jobs.items() for part in (call_id, token)]
        return _jobs(await self._fcall("fetch", worker, *flat)) or []

    async def done(
        self, worker: str, count: int, results: Sequence[tuple[Job, bytes]], *, patience_s: float | None = None
    ) -> list[Job] | None:
        """Record results whose token is the latest, and claim up to `count` calls in the same step."""
        flat = [part for job, result in results for part in (job.id, job.token, result)]
        return _jobs(await self._fcall("done", worker, count, *flat, patience_s=patience_s))

    async def progress(self, job: Job, payload: bytes, *, patience_s: float) -> None:
        """Tell the owner of a running call something that may be lost."""
        await self._fcall("progress", job.id, job.token, payload, patience_s=patience_s)

    async def back(self, jobs: Sequence[Job], *, patience_s: float | None = None) -> None:
        """Let calls wait again at their old place."""
        flat = [part for job in jobs for part in (job.id, job.token)]
        await self._fcall("back", *flat, patience_s=patience_s)

    async def beat(self, worker: str, slots: int, lease: Lease) -> Beat:
        """Renew the worker's lease; `slots` 0 keeps it alive and takes nothing more."""
        now_ms, *mine = await self._fcall("beat", worker, slots, lease.lease_ms, lease.beat_ms, lease.grace_ms)
        return Beat(int(now_ms), {int(token): call_id.decode() for call_id, token in _rows(mine, 2)})

    async def leave(self, worker: str, *, patience_s: float) -> None:
        """End the worker's lease and let all that it had wait again."""
        await self._fcall("leave", worker, patience_s=patience_s)

    async def cancel(self, call_ids: Sequence[str]) -> None:
        """Forget calls, whatever became of them; their workers are told."""
        for page in pages(call_ids, len):
            await self._fcall("cancel", *page)

    async def ack(self, call_ids: Sequence[str]) -> None:
        """Forget finished calls."""
        for page in pages(call_ids, len):
            await self._fcall("ack", *page)

    async def replies(self, process: str, after: str) -> list[tuple[str, list[bytes]]]:
        """What `process` was told after the entry `after`, as entry id and (kind, payload)*; earlier entries go."""
        return [(entry_id.decode(), fields) for entry_id, fields in await self._fcall("replies", process, after)]

    async def depth(self) -> QueueDepth:
        """How the queue stands."""
        workers, waiting, oldest_ms = await self._fcall("depth")
        return QueueDepth(workers, waiting, oldest_ms)

    def listen_as_worker(self, worker: str, on_message: Callable[[bytes | None], None]) -> Callable[[], None]:
        """Hear `w` (there is work) and `x<token>` (stop); None as in `Link.subscribe`."""
        return self._link.subscribe(keys.worker_channel(self.name, worker), on_message)

    def listen_as_owner(self, process: str, on_message: Callable[[bytes | None], None]) -> Callable[[], None]:
        """Hear that there is something for `replies`; None as in `Link.subscribe`."""
        return self._link.subscribe(keys.replies(self.name, process), on_message)

    async def _fcall(self, function: str, *arguments: Argument, patience_s: float | None = None) -> Any:
        try:
            return await self._link.fcall(_library(), function, self._keys, arguments, patience_s=patience_s)
        except ResponseError as error:
            message = f"Redis refuses `{function}` of the queue `{self.name}`: {error}; see the log of Redis"
            raise FlowError(Reason.INTERNAL, message) from error


def pages(items: Sequence[T], size_of: Callable[[T], int]) -> Iterator[Sequence[T]]:
    """Split into runs that one function call can carry: 256 items and 4 MiB, but at least one item."""
    start, size = 0, 0
    for index, item in enumerate(items):
        item_size = size_of(item)
        if index > start and (index - start >= MAX_ITEMS or size + item_size > MAX_BYTES):
            yield items[start:index]
            start, size = index, 0
        size += item_size
    if start < len(items):
        yield items[start:]


@cache
def _library() -> FunctionLibrary:
    return FunctionLibrary.versioned(LAYOUT, files("promptflow_workers.dispatch").joinpath("queue.lua").read_text())


def _jobs(reply: list[bytes] | None) -> list[Job] | None:
    if reply is None:
        return None
    return [Job(call_id.decode(), int(token), body) for call_id, token, body in _rows(reply, 3)]


def _rows(flat: Sequence[bytes], width: int) -> Iterator[Sequence[bytes]]:
    return (flat[index : index + width] for index in range(0, len(flat), width))
