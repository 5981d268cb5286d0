from __future__ import annotations

import io

from rich.console import Console

from promptflow_server.cli.stack_view import StackView
from promptflow_server.supervisor.part import PartChange, PartEvent

EVENTS = [
    PartEvent("worker", PartChange.STARTING),
    PartEvent("worker", PartChange.READY, 1.25),
    PartEvent("worker", PartChange.DIED, 7.0, "SIGKILL; starts again in 0.2 s"),
    PartEvent("worker", PartChange.STOPPING),
    PartEvent("worker", PartChange.STOPPED, 0.31),
]


def shown(console: Console, output: io.StringIO) -> str:
    view = StackView(console)
    for event in EVENTS:
        view.report(event)
    view.close()
    return output.getvalue()


def test_without_a_terminal_each_event_is_a_plain_line() -> None:
    output = io.StringIO()
    assert [line.split() for line in shown(Console(file=output, width=30), output).splitlines()] == [
        ["worker", "ready", "1.2", "s"],
        ["worker", "died", "7.0", "s", "SIGKILL;", "starts", "again", "in", "0.2", "s"],
        ["worker", "stopping"],
        ["worker", "stopped", "0.3", "s"],
    ]


def test_on_a_terminal_it_says_what_it_waits_for() -> None:
    output = io.StringIO()
    assert "starting: worker" in shown(Console(file=output, force_terminal=True, width=100), output)
