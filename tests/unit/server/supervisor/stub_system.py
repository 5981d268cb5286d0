"""A supervisor of two stubs, as a program: prints each pid when all are up, ends by signal. `stub_system.py FOLDER`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from tests.unit.server.supervisor.stubs import STEADY, STUBBORN, stub_part

from promptflow_server.supervisor.part import PartEvent
from promptflow_server.supervisor.signals import run_until_signalled
from promptflow_server.supervisor.supervisor import Supervisor


async def main(folder: Path) -> None:
    def report(event: PartEvent) -> None:
        print(event.part, event.change, flush=True)

    parts = [stub_part("first", STEADY, folder), stub_part("second", STUBBORN, folder, stop_within_s=30)]
    if "--mild" in sys.argv:
        parts = [stub_part(name, STEADY, folder) for name in ("first", "second")]
    supervisor = Supervisor([[part] for part in parts], folder, report)

    async def serve() -> None:
        pids = [keeper._child.pid for keeper in supervisor.keepers if keeper._child is not None]
        print("serving", *pids, flush=True)
        await asyncio.Event().wait()

    was_asked = await run_until_signalled(
        supervisor.run(serve), asked=lambda: print("asked", flush=True), insisted=supervisor.kill
    )
    print("ended", was_asked, flush=True)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
