from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.server.supervisor.stubs import PARENT, SILENT, await_end, is_running, stub_part

from promptflow_server.supervisor.child import Child
from promptflow_server.supervisor.part import Part


async def test_both_outputs_are_appended_to_the_log_and_the_tail_is_its_own(tmp_path: Path) -> None:
    log = tmp_path / "talker.log"
    log.write_text("of an earlier life\n")
    code = "import sys; print('one', flush=True); print('two', file=sys.stderr, flush=True); print('three')"
    child = await Child.spawn(stub_part("talker", code, tmp_path), log)
    assert await child.wait() == "exit status 0"
    assert child.last_lines(9) == ["one", "two", "three"]
    assert child.last_lines(2) == ["two", "three"]
    assert log.read_text() == "of an earlier life\none\ntwo\nthree\n"


@pytest.mark.parametrize(
    ("code", "how"),
    [("raise SystemExit(7)", "exit status 7"), ("import os; os.kill(os.getpid(), 11)", "SIGSEGV")],
)
async def test_its_end_is_told_in_words(tmp_path: Path, code: str, how: str) -> None:
    child = await Child.spawn(stub_part("x", code, tmp_path), tmp_path / "x.log")
    assert await child.wait() == how


async def test_it_gets_the_environment_of_its_part_and_no_other(tmp_path: Path) -> None:
    part = Part("x", ("/usr/bin/env",), environment={"PROMPTFLOW_REDIS_URL": "redis://h"})
    child = await Child.spawn(part, tmp_path / "x.log")
    await child.wait()
    # The interpreter that becomes the command may set a locale of its own.
    assert [line for line in child.last_lines(9) if not line.startswith("LC_")] == ["PROMPTFLOW_REDIS_URL=redis://h"]


async def test_what_an_earlier_process_wrote_makes_it_not_ready(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    log.write_text("up\n")
    part = stub_part("x", "", tmp_path)
    child = await Child.spawn(replace(part, command=("/bin/cat",)), log)
    await child.wait()
    assert not await child.is_ready(part)
    again = await Child.spawn(replace(part, command=("/bin/echo", "up")), log)
    await again.wait()
    assert await again.is_ready(part)


async def test_kill_takes_along_what_it_had_started(tmp_path: Path) -> None:
    part = stub_part("parent", PARENT, tmp_path)
    child = await Child.spawn(part, tmp_path / "parent.log")
    async with asyncio.timeout(5):
        while not await child.is_ready(part):
            pass
    grandchild = int(child.last_lines(2)[0])
    assert is_running(grandchild)
    child.kill()
    assert await child.wait() == "SIGKILL"
    assert await asyncio.to_thread(await_end, grandchild)


async def test_a_command_that_is_not_there_ends_as_a_process_does(tmp_path: Path) -> None:
    part = Part("x", ("/no/such/program",))
    child = await Child.spawn(part, tmp_path / "x.log")
    assert await child.wait() == "exit status 1"
    assert "/no/such/program" in "".join(child.last_lines(9)) or "No such file" in "".join(child.last_lines(9))


async def test_it_is_in_a_session_of_its_own(tmp_path: Path) -> None:
    child = await Child.spawn(stub_part("x", SILENT, tmp_path), tmp_path / "x.log")
    session = Path(f"/proc/{child.pid}/stat").read_text().rsplit(")", 1)[1].split()[3]
    child.kill()
    await child.wait()
    assert int(session) == child.pid
