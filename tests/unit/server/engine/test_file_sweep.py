"""Files go with their run, and not before."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from promptflow_core.errors import FlowError, Reason
from promptflow_core.records import ExecutionStatus
from promptflow_server.engine.file_sweep import MIN_AGE_S, PAGE, FileSweep
from promptflow_workers.dispatch.blobs import BlobStore

NOW = time.time()
DAYS_OLD = NOW - MIN_AGE_S - 60


def stored(root: Path, names: Sequence[str], at: float = DAYS_OLD) -> None:
    for name in names:
        (root / name).mkdir()
        (root / name / ("0" * 64)).write_bytes(b"data")
        os.utime(root / name, (at, at))


def sweep_of(root: Path) -> FileSweep:
    return FileSweep(root, BlobStore(root).delete, now_s=lambda: NOW)


async def test_only_old_files_of_runs_that_are_forgotten_go(tmp_path: Path) -> None:
    stored(tmp_path, ["forgotten", "ended", "waiting", ".unfinished", "no execution"])
    stored(tmp_path, ["upload"], at=NOW - MIN_AGE_S + 60)
    (tmp_path / "file").write_text("not a folder")
    kept = {"ended": ExecutionStatus.COMPLETED, "waiting": ExecutionStatus.QUEUED}

    async def status_of(execution_id: str) -> ExecutionStatus | None:
        return kept.get(execution_id)

    await sweep_of(tmp_path).sweep(status_of)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [".unfinished", "ended", "file", "no execution", "upload", "waiting"]
    )


async def _forgotten(_: str) -> None:
    return None


async def test_a_sweep_takes_a_page_and_the_next_one_goes_on_and_round(tmp_path: Path) -> None:
    names = [f"run-{number:04}" for number in range(2 * PAGE + 1)]
    stored(tmp_path, names)
    sweep, asked = sweep_of(tmp_path), list[int]()

    async def status_of(execution_id: str) -> ExecutionStatus | None:
        asked[-1] += 1
        return ExecutionStatus.RUNNING

    for _ in range(4):
        asked.append(0)
        await sweep.sweep(status_of)
    assert asked == [PAGE, PAGE, 1, PAGE]
    await sweep_of(tmp_path).sweep(_forgotten)
    assert sorted(path.name for path in tmp_path.iterdir()) == names[PAGE:]


async def test_while_redis_is_away_nothing_goes(tmp_path: Path) -> None:
    stored(tmp_path, ["a", "b"])

    async def status_of(execution_id: str) -> ExecutionStatus | None:
        if execution_id == "b":
            raise FlowError(Reason.STORE_UNAVAILABLE, "away")
        return None

    with pytest.raises(FlowError):
        await sweep_of(tmp_path).sweep(status_of)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


async def test_where_nothing_was_ever_stored_there_is_nothing_to_do(tmp_path: Path) -> None:
    await sweep_of(tmp_path / "files").sweep(_forgotten)
