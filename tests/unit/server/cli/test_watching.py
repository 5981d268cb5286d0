"""Edits while `up --watch` runs: what may end the watch, and what may not."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from promptflow_codegen.project import Project
from promptflow_server.cli import up, watching
from promptflow_server.cli.watching import publish_edits, seen
from promptflow_server.supervisor.ports import Ports


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "one.yaml").write_text("name: one\n")
    return Project.at(tmp_path)


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> asyncio.Queue[Path]:
    """What would be generated and published; the servers are those of the tests in `e2e`."""
    queue: asyncio.Queue[Path] = asyncio.Queue()

    async def publish(root: Path, address: str, console: Console) -> None:
        del address, console
        queue.put_nowait(root)

    monkeypatch.setattr(watching, "_publish", publish)
    return queue


async def test_edits_are_seen_though_the_folder_of_flows_goes_and_comes_back(
    project: Project, published: asyncio.Queue[Path]
) -> None:
    task = asyncio.create_task(publish_edits(project, seen(project), "", Console()))
    for number in range(3):
        shutil.rmtree(project.flows_dir)
        assert await asyncio.wait_for(published.get(), 5) == project.root
        project.flows_dir.mkdir()
        (project.flows_dir / "one.yaml").write_text(f"name: one\nversion: {number}\n")
        assert await asyncio.wait_for(published.get(), 5) == project.root
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_where_the_system_has_no_watch_left_the_files_are_looked_at(
    project: Project, published: asyncio.Queue[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_watch(*_: Any, **__: Any) -> Any:
        raise OSError("OS file watch limit reached")

    monkeypatch.setattr(watching, "awatch", no_watch)
    task = asyncio.create_task(publish_edits(project, seen(project), "", Console()))
    (project.flows_dir / "two.yaml").write_text("name: two\n")
    assert await asyncio.wait_for(published.get(), 5) == project.root
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


class Life(up._Life):
    """A life of `up` whose parts are there already."""

    async def _serve(self) -> None:
        await asyncio.Event().wait()


async def test_a_watch_that_dies_ends_up_and_says_why(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    async def die(*_: Any) -> None:
        raise RuntimeError("the watch died")

    monkeypatch.setattr(up, "publish_edits", die)
    monkeypatch.setenv(up.REDIS_URL, "redis://127.0.0.1:1")
    nothing: Any = None
    life = Life(
        options=up.UpOptions(project.root, is_watching=True),
        project=project,
        ports=Ports.from_base(None),
        settings=nothing,
        bundle=nothing,
        sources={},
        console=Console(),
        view=nothing,
    )
    with pytest.raises(RuntimeError, match="the watch died"):
        await asyncio.wait_for(life._work(nothing), 5)
