"""What the README tells people to type, typed."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from tests.e2e.system import ROOT, System

pytestmark = [pytest.mark.processes, pytest.mark.timeout(60)]

README = (ROOT / "README.md").read_text("utf-8")
CURLS = [block for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL) if block.startswith("curl ")]
(PYTHON,) = re.findall(r"```python\n(.*?)```\n```text\n.*?```", README, re.DOTALL)
(PRINTED,) = re.findall(r"```python\n.*?```\n```text\n(.*?)```", README, re.DOTALL)


def here(text: str, system: System) -> str:
    """The README's addresses as those of the running system."""
    return text.replace("localhost:8080", system.edge).replace("localhost:50051", system.grpc)


@pytest.mark.parametrize("command", CURLS)
def test_the_curl_commands_of_the_readme_answer(system: System, command: str) -> None:
    done = subprocess.run(here(command, system), shell=True, cwd=ROOT, capture_output=True, text=True, check=True)
    expected = "event: done" if "event-stream" in command else '"message"' if '"txt"' in command else '"COMPLETED"'
    assert expected in done.stdout


def test_the_python_of_the_readme_prints_what_it_says(system: System) -> None:
    command = [sys.executable, "-c", here(PYTHON, system)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == PRINTED
