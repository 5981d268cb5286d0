"""BundleStore: the bundle that every server serves, and those that runs still pin, as packed bytes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from importlib.resources import files

from redis.exceptions import ResponseError

from promptflow_core import keys
from promptflow_core.errors import FlowError, Reason
from promptflow_workers.dispatch.functions import FunctionLibrary
from promptflow_workers.dispatch.link import Link
from promptflow_workers.dispatch.pushes import OnMessage

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
        digest: bytes | None = await self._link.execute("HGET", keys.bundle_current(), "digest", patience_s=patience_s)
        return digest.decode() if digest else None

    async def get(self, digest: str) -> bytes | None:
        """A packed bundle; None: it is not here, or no longer."""
        data: bytes | None = await self._link.execute("GET", keys.bundle(digest))
        return data

    async def has(self, digest: str) -> bool:
        """Whether a bundle is stored."""
        return bool(await self._link.execute("EXISTS", keys.bundle(digest)))

    async def keep(self, digest: str, packed: bytes) -> None:
        """Store a bundle that a server has on disk, so that others can read the runs that pin it."""
        await self._link.execute("SET", keys.bundle(digest), packed, "NX")
        await self._link.execute("ZADD", keys.bundles_needed(), self._now_ms(), digest)

    async def publish(self, digest: str, packed: bytes, *, before: str | None) -> str | None:
        """Make a bundle the one that all serve, where `before` is it until now; answers what it was.

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
        found: Iterable[bytes] = await self._link.execute("ZRANGE", keys.bundles_needed(), 0, -1, "REV")
        return [digest.decode() for digest in found]

    async def sweep(self, served: Iterable[str]) -> None:
        """Forget bundles that nobody serves and no run that is kept pins; `served` are this server's own."""
        needed = {*served, *await self._pinned(), await self.current()} - {None}
        now_ms = self._now_ms()
        stamps = [item for digest in sorted(filter(None, needed)) for item in (now_ms, digest)]
        if stamps:
            await self._link.execute("ZADD", keys.bundles_needed(), "XX", *stamps)
        oldest = now_ms - round((self._keep_s + SLACK_S) * 1000)
        old: Iterable[bytes] = await self._link.execute("ZRANGE", keys.bundles_needed(), "-inf", oldest, "BYSCORE")
        for digest in old:
            await self._link.execute("UNLINK", keys.bundle(digest.decode()))
            await self._link.execute("ZREM", keys.bundles_needed(), digest)

    async def _publish(self, digest: str, packed: bytes, before: str) -> str | None:
        where = (keys.bundle_current(), keys.bundle(digest), keys.bundles_needed())
        try:
            found: bytes = await self._link.fcall(self._library, "bundle_publish", where, (digest, before, packed))
        except ResponseError as error:
            code, _, current = str(error).partition(" ")
            if code != "CONFLICT":
                raise
            name = f"`{current}`" if current else "another bundle"
            message = f"{name} was published in between; look at what it changed, then publish again"
            raise FlowError(Reason.BUNDLE_CONFLICT, message, metadata={"current_digest": current}) from None
        return found.decode() or None

    async def _pinned(self) -> set[str]:
        """The digests of all runs that have not ended."""
        pinned, offset = set[str](), 0
        while page := await self._open_runs(offset):
            heads = [self._link.execute("HGET", keys.execution_head(run.decode()), "digest") for run in page]
            pinned |= {digest.decode() for digest in await asyncio.gather(*heads) if digest}
            offset += _PAGE
        return pinned

    async def _open_runs(self, offset: int) -> list[bytes]:
        found: list[bytes] = await self._link.execute("ZRANGE", keys.open_runs(), offset, offset + _PAGE - 1)
        return found

    def _now_ms(self) -> int:
        return round(self._now() * 1000)
