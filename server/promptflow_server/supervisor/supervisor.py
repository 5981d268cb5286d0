"""All parts together: started stage by stage, each when the one before is ready; stopped in the opposite order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from promptflow_server.supervisor.keeper import Keeper
from promptflow_server.supervisor.part import Part, Report
from promptflow_server.supervisor.restart import RestartPolicy


class Supervisor:
    """Runs parts around a piece of work; those of one stage start together.

    Logs go to `<logs>/<part>.log`; the ones of the last time stay beside.
    """

    def __init__(
        self, stages: Sequence[Sequence[Part]], logs: Path, report: Report, *, policy: RestartPolicy | None = None
    ) -> None:
        self._logs = logs
        self._stages = [
            [Keeper(part, logs / f"{part.name}.log", report, policy=policy or RestartPolicy()) for part in stage]
            for stage in stages
        ]

    @property
    def keepers(self) -> list[Keeper]:
        """One for each part, in the order of their start."""
        return [keeper for stage in self._stages for keeper in stage]

    async def run(self, work: Callable[[], Awaitable[None]]) -> None:
        """Start all parts, do `work`, stop all parts, however it ends. Call it in the main thread.

        Raises:
            PartFailedError: a part dies again and again; the work is cancelled.
        """
        self._logs.mkdir(parents=True, exist_ok=True)
        for keeper in self.keepers:
            _put_aside(self._logs / f"{keeper.part.name}.log")
        try:
            async with asyncio.TaskGroup() as group:
                watches: list[asyncio.Task[None]] = []
                for stage in self._stages:
                    watches += [group.create_task(keeper.keep()) for keeper in stage]
                    for keeper in stage:
                        await keeper.ready.wait()
                await work()
                for watch in watches:
                    watch.cancel()
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        finally:
            await self._stop()

    def kill(self) -> None:
        """End every process at once; `run` then returns soon."""
        for keeper in self.keepers:
            keeper.kill()

    async def _stop(self) -> None:
        for keeper in reversed(self.keepers):
            await keeper.stop()


def _put_aside(log: Path) -> None:
    if log.exists():
        log.replace(log.with_suffix(".previous.log"))
