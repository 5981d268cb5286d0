"""BundleStore: the bundle that every server serves, and those that runs still pin, as packed bytes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from importlib.resources import files
from typing import Any

from redis.exceptions import ResponseError

from promptflow_core import keys
from promptflow_core.errors import FlowError, Reason
from promptflow_workers.dispatch.functions import FunctionLibrary
from promptflow_workers.dispatch.link import Link
from promptflow_workers.dispatch.pushes import OnMessage
from promptflow_workers.dispatch.wire import Argument

LAYOUT = "pf1"
SLACK_S = 1200.0
"""How long after the end of a run its bundle may have been seen as pinned for the last time."""

_ANY = "*"
_PAGE = 500


class BundleStore:
    """Bundles in Redis, by digest. Every method raises FlowError STORE_UNAVAILABLE, and may be repeated."""

    def __init__(self, link: Link, *, keep_s: float, now: Callable[[], float] = time.time) -> None:
        self._link = link
        self._keep_s = keep_s
        self._now = now
        source = files("promptflow_server.store").joinpath("lua/bundles.lua")
        self._library = FunctionLibrary.versioned(LAYOUT, source.read_text("utf-8"))

    async def current(self, *, patience_s: float | None = None) -> str | None:
        """The digest that was published last; None: nothing was, each server serves what it has on disk."""
        digest: bytes | None = await self._ask("HGET", keys.bundle_current(), "digest", patience_s=patience_s)
        return digest.decode() if digest else None

    async def get(self, digest: str) -> bytes | None:
        """A packed bundle; None: it is not here, or no longer."""
        data: bytes | None = await self._ask("GET", keys.bundle(digest))
        return data

    async def has(self, digest: str) -> bool:
        """Whether a bundle is stored."""
        return bool(await self._ask("EXISTS", keys.bundle(digest)))

    async def keep(self, digest: str, packed: bytes) -> None:
        """Store a bundle that a server has on disk, so that others can read the runs that pin it."""
        await self._call("bundle_keep", digest, self._now_ms(), packed)

    async def publish(self, digest: str, packed: bytes, *, before: str | None) -> str | None:
        """Make a bundle the one that all serve, where `before` is it until now; answers what it was.

        Where it is the one already, its bytes are stored anew and it is announced again: some may have refused it.

        Raises:
            FlowError: BUNDLE_CONFLICT, another was published in between.
        """
        return await self._publish(digest, packed, before or "")

    async def install(self, digest: str, packed: bytes) -> str | None:
        """Make a bundle the one that all serve, whatever was before; answers what it was."""
        return await self._publish(digest, packed, _ANY)

    def announced(self, on_message: OnMessage) -> Callable[[], None]:
        """Listen for new digests, and None where some may have been missed. Returns what ends it."""
        return self._link.subscribe(keys.bundle_current(), on_message)

    async def stored(self) -> list[str]:
        """The digests of all bundles here, the one that was needed last first."""
        found: Iterable[bytes] = await self._ask("ZRANGE", keys.bundles_needed(), 0, -1, "REV")
        return [digest.decode() for digest in found]

    async def sweep(self, served: Iterable[str]) -> None:
        """Forget bundles that nobody serves and no run that is kept pins; `served` are this server's own."""
        needed = sorted({*served, *await self._pinned()})
        now_ms = self._now_ms()
        await self._call("bundle_sweep", now_ms, now_ms - round((self._keep_s + SLACK_S) * 1000), *needed)

    async def _publish(self, digest: str, packed: bytes, before: str) -> str | None:
        try:
            found: bytes = await self._call("bundle_publish", digest, before, packed)
        except _RefusedError as error:
            code, _, current = str(error.__cause__).partition(" ")
            if code != "CONFLICT":
                raise
            raise conflict(current) from None
        return found.decode() or None

    async def _pinned(self) -> set[str]:
        """The digests of all runs that have not ended."""
        pinned, offset = set[str](), 0
        while page := await self._open_runs(offset):
            heads = [self._ask("HGET", keys.execution_head(run.decode()), "digest") for run in page]
            pinned |= {digest.decode() for digest in await asyncio.gather(*heads) if digest}
            offset += _PAGE
        return pinned

    async def _open_runs(self, offset: int) -> list[bytes]:
        found: list[bytes] = await self._ask("ZRANGE", keys.open_runs(), offset, offset + _PAGE - 1)
        return found

    async def _ask(self, *command: Argument, patience_s: float | None = None) -> Any:
        with _refusals():
            return await self._link.execute(*command, patience_s=patience_s)

    async def _call(self, function: str, *arguments: Argument) -> Any:
        where = (keys.bundle_current(), keys.bundle(""), keys.bundles_needed())
        with _refusals():
            return await self._link.fcall(self._library, function, where, arguments)

    def _now_ms(self) -> int:
        return round(self._now() * 1000)


class _RefusedError(FlowError):
    """Redis took a command and would not do it."""


@contextmanager
def _refusals() -> Generator[None]:
    """A command that Redis refuses as the error that callers of the store know."""
    try:
        yield
    except ResponseError as error:
        raise _RefusedError(Reason.STORE_UNAVAILABLE, f"Redis refuses commands on bundles: {error}") from error


def conflict(current: str) -> FlowError:
    """Another bundle than the publisher knows is the published one."""
    name = f"`{current}`" if current else "another bundle"
    message = f"{name} was published in between; look at what it changed, then publish again"
    return FlowError(Reason.BUNDLE_CONFLICT, message, metadata={"current_digest": current})
