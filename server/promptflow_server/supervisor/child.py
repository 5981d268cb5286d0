"""One running process: how it is started, what it wrote, how it ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path

from promptflow_server.supervisor.part import Part

_TETHER = Path(__file__).with_name("tether.py")
_TAIL_BYTES = 64 << 10


class Child:
    """A process in a session of its own, so that a Ctrl-C at the terminal reaches the supervisor alone."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path, log_start: int) -> None:
        self._process = process
        self._log = log
        self._log_start = log_start

    @classmethod
    async def spawn(cls, part: Part, log: Path) -> Child:
        """Start `part`; both its outputs are appended to `log`. Call it in the main thread: its end ends the child.

        Raises:
            OSError: the machine cannot start another process.
        """
        tether = (sys.executable, "-I", "-S", str(_TETHER), str(os.getpid()))
        with log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                *tether,
                *part.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=dict(part.environment),
                cwd=part.directory,
                start_new_session=True,
            )
            return cls(process, log, output.tell())

    @property
    def pid(self) -> int:
        """Its process id, which is also the id of its group."""
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        """Whether it is known to be gone."""
        return self._process.returncode is not None

    async def wait(self) -> str:
        """Return when it has ended, with how: `exit status 1` or `SIGKILL`."""
        status = await self._process.wait()
        return f"exit status {status}" if status >= 0 else signal.Signals(-status).name

    def terminate(self) -> None:
        """Ask it to end; what it started is its own affair."""
        if not self.has_ended:
            self._process.terminate()

    def kill(self) -> None:
        """End it at once, and all that it started. Not to be called long after its end: ids are used again."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    async def is_ready(self, part: Part) -> bool:
        """Whether it, and no earlier process of the part, is ready."""
        if part.ready_line and not await asyncio.to_thread(self._has_written, part.ready_line.encode()):
            return False
        return part.is_ready is None or await part.is_ready(self.pid)

    def last_lines(self, count: int) -> list[str]:
        """The end of what it wrote, oldest line first."""
        return self._written(_TAIL_BYTES).decode(errors="replace").splitlines()[-count:]

    def _has_written(self, text: bytes) -> bool:
        return text in self._written()

    def _written(self, at_most: int | None = None) -> bytes:
        with self._log.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(self._log_start if at_most is None else max(self._log_start, end - at_most))
            return file.read()
