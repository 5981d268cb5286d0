from __future__ import annotations

import io
import re
from typing import Any

import pytest
from rich.console import Console

from promptflow_server.cli.run_view import run_table, run_view
from promptflow_server.cli.shown_run import ShownRun


def states() -> list[ShownRun]:
    state, found = ShownRun.of_steps(["ocr", "sentiment"]), list[ShownRun]()
    events: list[dict[str, Any]] = [
        {"step_started": {"step": "ocr"}},
        {"step_completed": {"step": "ocr"}, "progress": {"percentage": 50}},
        {"step_started": {"step": "sentiment"}},
        {"step_progress": {"step": "sentiment", "item": 0, "percentage": 50}},
        {"step_progress": {"step": "sentiment", "item": 1, "percentage": 100}},
        {"step_completed": {"step": "sentiment"}, "progress": {"percentage": 100}},
        {"done": {"status": "COMPLETED", "steps": {"sentiment": {"items": [{}, {}]}}}},
    ]
    for second, event in enumerate(events):
        state = state.with_event(event, float(second))
        found.append(state)
    return found


def test_without_a_terminal_each_change_is_a_plain_line() -> None:
    output = io.StringIO()
    with run_view(Console(file=output, width=40)) as view:
        for state in states():
            view.show(state)
    words = [line.split() for line in output.getvalue().splitlines()]
    assert words == [
        ["ocr", "running", "0", "%"],
        ["ocr", "done", "1.00", "s", "50", "%"],
        ["sentiment", "running", "50", "%"],
        ["sentiment", "done", "3.00", "s", "100", "%"],
    ]


def counted(done: int) -> dict[str, Any]:
    return {"step_progress": {"step": "sentiment", "percentage": done, "message": f"{done} of 12 items"}}


def test_plain_lines_tell_how_many_items_are_done_but_not_each() -> None:
    output, clock = io.StringIO(), [0.0]
    state = ShownRun.of_steps(["sentiment"]).with_event({"step_started": {"step": "sentiment"}}, 0.0)
    with run_view(Console(file=output, width=40), lambda: clock[0]) as view:
        view.show(state)
        for done in range(1, 13):
            clock[0] = done * 0.5
            state = state.with_event(counted(done), clock[0])
            view.show(state)
            view.show(state)
        view.show(state.with_event({"step_completed": {"step": "sentiment"}}, clock[0]))
    told = [line.partition(" %")[2].strip() for line in output.getvalue().splitlines()]
    assert told == ["", "4 of 12 items", "8 of 12 items", "12 of 12 items", ""]


@pytest.mark.parametrize("message", ["7 of 12 items", "no model `x`; run `promptflow models pull` " * 5])
def test_the_table_says_how_far_a_step_is_in_one_line(message: str) -> None:
    output = io.StringIO()
    state = ShownRun.of_steps(["sentiment"]).with_event({"step_started": {"step": "sentiment"}}, 0.0)
    state = state.with_event({"step_progress": {"step": "sentiment", "percentage": 7, "message": message}}, 1.0)
    Console(file=output, width=80, color_system=None).print(run_table(state, now=9.0))
    _, row, last = output.getvalue().splitlines()
    assert row.partition(" 7 %  ")[2][:13] == message[:13]
    assert last.startswith("all")


def test_on_a_terminal_the_last_table_stays() -> None:
    output = io.StringIO()
    console = Console(file=output, force_terminal=True, width=100, color_system=None, legacy_windows=False)
    with run_view(console) as view:
        for state in states():
            view.show(state)
    shown = output.getvalue()
    assert re.search(r"sentiment +done +2 +3\.00 s", shown.rsplit("step", 1)[-1])
    assert shown.endswith("\n\x1b[?25h")


def test_the_table_reads_without_colour() -> None:
    output = io.StringIO()
    Console(file=output, width=100, color_system=None).print(run_table(states()[3], now=9.0))
    rows = [line.split() for line in output.getvalue().splitlines()]
    assert rows[0] == ["step", "state", "items", "time"]
    assert [row[:2] for row in rows[1:]] == [["ocr", "done"], ["sentiment", "running"], ["all", rows[3][1]]]
    assert rows[2][2] == "7.00"
    assert [row[-2:] for row in rows[1:]] == [["100", "%"], ["50", "%"], ["50", "%"]]
