"""docs/compatibility.md shows what `promptflow diff` says: its flows, edited and compared again."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCUMENT = Path(__file__).resolve().parents[4] / "docs" / "compatibility.md"
BLOCKS = re.findall(r"^```(yaml|console)\n(.*?)^```$", DOCUMENT.read_text("utf-8"), re.MULTILINE | re.DOTALL)
PUBLISHED = BLOCKS[0][1]
EDITS = {edit: said for (_, edit), (kind, said) in zip(BLOCKS[1::2], BLOCKS[2::2], strict=True) if kind == "console"}


def run(command: list[str], folder: Path) -> str:
    """What a command prints, lines on standard error last."""
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=60, env=environment)
    return done.stdout + done.stderr


@pytest.mark.parametrize("edit", EDITS, ids=["survived", "refused"])
def test_the_examples_say_what_the_command_says(edit: str, tmp_path: Path) -> None:
    promptflow = [sys.executable, "-m", "promptflow_server.cli"]
    who = ("-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false")
    flow = tmp_path / "flows" / "ticket.yaml"
    flow.parent.mkdir()
    flow.write_text(PUBLISHED)
    (tmp_path / ".gitignore").write_text(".promptflow\n")
    run([*promptflow, "generate"], tmp_path)
    run(["git", "init", "--quiet", "--initial-branch=main"], tmp_path)
    run(["git", "add", "--all"], tmp_path)
    run(["git", *who, "commit", "--quiet", "--message", "x"], tmp_path)
    flow.write_text(edit)
    assert f"$ promptflow diff main\n{run([*promptflow, 'diff', 'main'], tmp_path)}" == EDITS[edit]
