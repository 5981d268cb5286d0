"""Small commands that stand for parts, and ways to know that a process is gone."""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Sequence
from pathlib import Path

from promptflow_server.supervisor.part import Drain, Part, PartChange, PartEvent

STEADY = "import time; print('up', flush=True); time.sleep(100)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(100)"
)
PARENT = (
    "import subprocess, sys, time; "
    "print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(100)']).pid, flush=True); "
    "print('up', flush=True); time.sleep(100)"
)
DOOMED = "print('first line', flush=True); raise SystemExit('no model `x`; run `promptflow models pull`')"
SILENT = "import time; time.sleep(100)"
DIES_ONCE = (
    "import pathlib, sys, time; print('up', flush=True); flag = pathlib.Path('died'); "
    "flag.exists() or (flag.touch(), sys.exit(3)); time.sleep(100)"
)


def stub_part(
    name: str,
    code: str,
    folder: Path,
    *,
    drain: Drain | None = None,
    ready_within_s: float = 5.0,
    stop_within_s: float = 5.0,
) -> Part:
    """A part that runs Python `code` in `folder`, ready when it has printed `up`; its log is `<folder>/<name>.log`."""
    return Part(
        name,
        (sys.executable, "-I", "-c", code),
        ready_line="up",
        directory=folder,
        drain=drain,
        ready_within_s=ready_within_s,
        stop_within_s=stop_within_s,
    )


def told(events: Sequence[PartEvent]) -> list[tuple[str, PartChange]]:
    return [(event.part, event.change) for event in events]


def await_end(pid: int, timeout_s: float = 5.0) -> bool:
    """Whether the process ends in time, or has ended."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], timeout_s)[0])
    finally:
        os.close(descriptor)


def is_running(pid: int) -> bool:
    return not await_end(pid, 0)
