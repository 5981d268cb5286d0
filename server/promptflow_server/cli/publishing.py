"""From flows to running servers."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from rich.console import Console

from promptflow_core.settings import PREFIX
from promptflow_server.cli.environment import project_at
from promptflow_server.cli.generating import bundle_of, generated_of, write_tree
from promptflow_server.cli.publish_client import publish_bundle

TOKEN = PREFIX + "PUBLISH_TOKEN"


def publish_command(folder: Path, address: str, *, is_check: bool) -> None:
    """Generate, send, tell what changed; with `is_check` nothing is written and nothing published.

    Raises:
        CommandError: the flows have errors, nobody answers, or the servers refuse.
    """
    project, console = project_at(folder), Console(highlight=False)
    generated = generated_of(project, console)
    bundle = bundle_of(generated) if is_check else write_tree(project, generated, console)
    token = os.environ.get(TOKEN, "")
    outcome = asyncio.run(publish_bundle(bundle, address, token=token, validate_only=is_check))
    for line in outcome.lines():
        _line(console, line)
    if outcome.digest == outcome.previous:
        _line(console, f"{outcome.digest} is served already")
    else:
        verb = "would replace" if is_check else "is served instead of"
        _line(console, f"{outcome.digest} {verb} {outcome.previous}")


def _line(console: Console, text: str) -> None:
    console.print(text, markup=False, soft_wrap=True)
