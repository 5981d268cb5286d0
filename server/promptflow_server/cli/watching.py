"""`up --watch`: each edit of a flow, published as it is saved."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from pathlib import Path

from rich.console import Console
from watchfiles import Change, awatch  # pyright: ignore[reportUnknownVariableType]

from promptflow_codegen.project import SETTINGS_FILE, Project
from promptflow_server.cli.failures import explain
from promptflow_server.cli.generating import generated_of, write_tree
from promptflow_server.cli.publish_client import publish_bundle
from promptflow_server.cli.publishing import TOKEN

QUIET_MS = 30
"""An editor that saves by several steps, or a tool that writes many files, is over when nothing happens for so long."""

LONGEST_MS = 300
LOOK_MS = 1_000
"""How often the files are looked at though no change was told: folders are replaced, and some file systems are mute."""

Seen = Mapping[str, tuple[int, int, int]]
"""File name -> inode, size, time of change."""


def seen(project: Project) -> Seen:
    """What the sources of a project look like now, without reading them."""
    found: dict[str, tuple[int, int, int]] = {}
    for path in (*project.flows_dir.glob("*.y*ml"), project.root / SETTINGS_FILE):
        try:
            state = path.stat()
        except OSError:
            continue
        found[path.name] = state.st_ino, state.st_size, state.st_mtime_ns
    return found


async def publish_edits(project: Project, before: Seen, address: str, console: Console) -> None:
    """Generate and publish whenever the sources are not as they were `before`, until cancelled.

    What cannot be generated or is refused is printed, and what was served goes on.
    """
    async with aclosing(_moments(project)) as moments:
        async for _ in moments:
            now = seen(project)
            if now == before:
                continue
            before = now
            await _publish(project.root, address, console)


async def _publish(root: Path, address: str, console: Console) -> None:
    began = time.monotonic()
    try:
        outcome = await _generate_and_publish(root, address, console)
    except Exception as error:
        text = explain(error) or f"{type(error).__name__}: {error}; this is a defect of PromptFlow, please report it"
        console.print(f"error: {text}\n  the flows that are served stay as they are", markup=False, soft_wrap=True)
        return
    took_ms = (time.monotonic() - began) * 1000
    for line in outcome:
        console.print(line, markup=False, soft_wrap=True)
    console.print(f"  live in {took_ms:.0f} ms", markup=False)


async def _generate_and_publish(root: Path, address: str, console: Console) -> list[str]:
    project = Project.at(root)
    generated = await asyncio.to_thread(generated_of, project, console)
    # The locks are on disk before anyone is told of their numbers.
    bundle = await asyncio.to_thread(write_tree, project, generated, console)
    outcome = await publish_bundle(bundle, address, token=os.environ.get(TOKEN, ""))
    return outcome.lines()


async def _moments(project: Project) -> AsyncGenerator[None]:
    """Whenever the sources may have changed; folders may go, come back, and be others."""
    while True:
        try:
            folders = [folder for folder in (project.flows_dir, project.root) if folder.is_dir()]
            watched = _inodes(folders)
            async with aclosing(_changes(folders)) as changes:
                async for _ in changes:
                    yield
                    if _inodes([project.flows_dir, project.root]) != watched:
                        break
        except OSError:
            # A folder went while it was looked at, or the system has no watch left: look by and by.
            yield
            await asyncio.sleep(LOOK_MS / 1000)
        await asyncio.sleep(QUIET_MS / 1000)


def _changes(folders: list[Path]) -> AsyncGenerator[set[tuple[Change, str]]]:
    return awatch(
        *folders,
        watch_filter=None,
        debounce=LONGEST_MS,
        step=QUIET_MS,
        rust_timeout=LOOK_MS,
        yield_on_timeout=True,
        recursive=False,
    )


def _inodes(folders: list[Path]) -> list[int]:
    return [folder.stat().st_ino for folder in folders if folder.is_dir()]
