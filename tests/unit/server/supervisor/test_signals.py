"""A whole supervisor as a program, and what is left of it."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.unit.server.supervisor.stubs import await_end

ROOT = Path(__file__).parents[4]
PROGRAM = "tests.unit.server.supervisor.stub_system"


@dataclass
class System:
    process: asyncio.subprocess.Process
    pids: list[int]

    async def until(self, line: str) -> None:
        assert self.process.stdout is not None
        async with asyncio.timeout(8):
            while (await self.process.stdout.readline()).decode().strip() != line:
                assert not self.process.stdout.at_eof()

    async def leaves_nothing(self) -> bool:
        async with asyncio.timeout(8):
            await self.process.wait()
        return all([await asyncio.to_thread(await_end, pid) for pid in self.pids])


@asynccontextmanager
async def system(folder: Path, *options: str) -> AsyncIterator[System]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", PROGRAM, str(folder), *options, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(8):
            while not (line := (await process.stdout.readline()).decode()).startswith("serving"):
                assert line
        yield System(process, [int(pid) for pid in line.split()[1:]])
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
async def test_one_signal_drains_and_leaves_no_process(tmp_path: Path, number: signal.Signals) -> None:
    async with system(tmp_path, "--mild") as running:
        running.process.send_signal(number)
        for line in ("asked", "second stopping", "second stopped", "first stopping", "first stopped", "ended True"):
            await running.until(line)
        assert await running.leaves_nothing()
        assert running.process.returncode == 0


async def test_the_second_signal_ends_what_does_not_end_by_itself(tmp_path: Path) -> None:
    async with system(tmp_path) as running:
        running.process.send_signal(signal.SIGINT)
        await running.until("second stopping")
        running.process.send_signal(signal.SIGINT)
        await running.until("ended True")
        assert await running.leaves_nothing()


async def test_no_process_survives_the_sigkill_of_the_supervisor(tmp_path: Path) -> None:
    async with system(tmp_path) as running:
        running.process.kill()
        assert await running.leaves_nothing()
