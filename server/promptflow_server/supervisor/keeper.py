"""Keeps one part running: starts it, waits for its readiness, starts it again when it dies."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from promptflow_server.supervisor.child import Child
from promptflow_server.supervisor.part import Part, PartChange, PartEvent, Report
from promptflow_server.supervisor.restart import DeathRecord, RestartPolicy

SHOWN_LINES = 12
_PROBE_EVERY_S = 0.05


class PartFailedError(Exception):
    """A part that will not run; the message has the end of its log."""

    def __init__(self, part: str, how: str, log: Path, last_lines: list[str]) -> None:
        shown = "".join(f"\n  {line}" for line in last_lines) or "\n  (it wrote nothing)"
        super().__init__(f"{part} died again and again ({how}); the end of `{log}`:{shown}")


@dataclass(frozen=True, slots=True)
class _End:
    """How one life of a part ended, and whether it had been ready."""

    how: str
    was_ready: bool


class Keeper:
    """One part and the process that it is at the moment."""

    def __init__(
        self,
        part: Part,
        log: Path,
        report: Report,
        *,
        policy: RestartPolicy,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.part = part
        self.ready = asyncio.Event()
        self._log = log
        self._report = report
        self._policy = policy
        self._clock = clock
        self._child: Child | None = None

    async def keep(self) -> NoReturn:
        """Have the part running until cancelled; a cancel leaves the process as it is, for `stop`.

        Raises:
            PartFailedError: it dies again and again before it was ever ready.
        """
        deaths = DeathRecord()
        while True:
            began = self._clock()
            end = await self._live(began)
            lived_s = self._clock() - began
            # Time spent on not becoming ready is no life.
            deaths = deaths.with_death(lived_s if end.was_ready else 0.0, self._policy)
            # A part that was ready once is told, and tried for ever: others still serve.
            if deaths.is_hopeless(self._policy) and not self.ready.is_set():
                raise PartFailedError(self.part.name, end.how, self._log, self._last_lines())
            delay_s = deaths.delay_s(self._policy)
            self._tell(PartChange.DIED, lived_s, f"{end.how}; starts again in {delay_s:.1f} s")
            await asyncio.sleep(delay_s)

    async def stop(self) -> None:
        """End the part: drain, SIGTERM, and SIGKILL where that does not help. Nothing to do where it is gone."""
        child = self._child
        if child is None or child.has_ended:
            return
        began = self._clock()
        self._tell(PartChange.STOPPING)
        await self._drain()
        child.terminate()
        try:
            async with asyncio.timeout(self.part.stop_within_s):
                await child.wait()
        except TimeoutError:
            child.kill()
            await child.wait()
            self._tell(
                PartChange.KILLED, self._clock() - began, f"it ignored SIGTERM for {self.part.stop_within_s:g} s"
            )
            return
        # Whatever the part itself had started and left behind.
        child.kill()
        self._tell(PartChange.STOPPED, self._clock() - began)

    def kill(self) -> None:
        """End the process at once."""
        if self._child is not None and not self._child.has_ended:
            self._child.kill()

    async def _live(self, began: float) -> _End:
        """One life of the part: how it ended."""
        self._tell(PartChange.STARTING)
        child = self._child = await Child.spawn(self.part, self._log)
        readiness = asyncio.create_task(self._await_readiness(child, began))
        try:
            how = await child.wait()
            # What it had started itself is of no use to the next one.
            child.kill()
        finally:
            readiness.cancel()
        was_ready = readiness.done() and not readiness.cancelled() and readiness.result()
        is_late = readiness.done() and not was_ready
        return _End(f"not ready after {self.part.ready_within_s:g} s" if is_late else how, was_ready)

    async def _await_readiness(self, child: Child, began: float) -> bool:
        """Whether the part became ready in time; else it is killed."""
        try:
            async with asyncio.timeout(self.part.ready_within_s):
                while not await child.is_ready(self.part):  # noqa: ASYNC110  # another process sets no event
                    await asyncio.sleep(_PROBE_EVERY_S)
        except TimeoutError:
            child.kill()
            return False
        self.ready.set()
        self._tell(PartChange.READY, self._clock() - began)
        return True

    async def _drain(self) -> None:
        if self.part.drain is None:
            return
        try:
            async with asyncio.timeout(self.part.drain_within_s):
                await self.part.drain()
        except TimeoutError:
            pass

    def _last_lines(self) -> list[str]:
        return self._child.last_lines(SHOWN_LINES) if self._child is not None else []

    def _tell(self, change: PartChange, after_s: float = 0.0, detail: str = "") -> None:
        self._report(PartEvent(self.part.name, change, after_s, detail))
