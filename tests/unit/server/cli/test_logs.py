from __future__ import annotations

import json
import subprocess
import sys

import pytest

from promptflow_server.cli.logs import configure_logging

PROGRAM = """
import logging, structlog
from promptflow_server.cli.logs import configure_logging
configure_logging("{level}")
structlog.contextvars.bind_contextvars(execution_id="x1")
structlog.get_logger("ours").info("step_done", step="ocr")
logging.getLogger("theirs").warning("lost %s", "it")
structlog.get_logger("ours").debug("detail")
try:
    1 / 0
except ZeroDivisionError:
    structlog.get_logger("ours").exception("broke")
"""


def logged(level: str) -> list[dict[str, str]]:
    command = [sys.executable, "-c", PROGRAM.format(level=level)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == ""
    return [json.loads(line) for line in done.stderr.splitlines()]


def test_ours_and_theirs_are_json_lines_with_the_execution() -> None:
    ours, theirs, broke = logged("info")
    assert {name: ours[name] for name in ("event", "step", "execution_id", "level", "logger")} == {
        "event": "step_done",
        "step": "ocr",
        "execution_id": "x1",
        "level": "info",
        "logger": "ours",
    }
    assert (theirs["event"], theirs["level"], theirs["logger"]) == ("lost it", "warning", "theirs")
    assert "ZeroDivisionError" in broke["exception"]


@pytest.mark.parametrize(
    ("level", "events"),
    [("debug", ["step_done", "lost it", "detail", "broke"]), ("WARNING", ["lost it", "broke"]), ("error", ["broke"])],
)
def test_the_level_holds_for_both(level: str, events: list[str]) -> None:
    assert [line["event"] for line in logged(level)] == events


def test_a_level_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match=r"`PROMPTFLOW_LOG_LEVEL` is 'loud', which is none of DEBUG"):
        configure_logging("loud")
