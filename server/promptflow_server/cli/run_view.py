"""A run as it goes: a live table on a terminal, else a line for each thing that happens."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from promptflow_server.cli.shown_run import ShownRun, StepPhase, StepProgress

_STYLES = {
    StepPhase.WAITING: "dim",
    StepPhase.RUNNING: "cyan",
    StepPhase.RETRYING: "yellow",
    StepPhase.DONE: "green",
    StepPhase.SKIPPED: "dim",
    StepPhase.FAILED: "red",
}
_BAR_WIDTH = 24


class RunView(Protocol):
    """Shows each state of a run."""

    def show(self, state: ShownRun) -> None:
        """The run is now in `state`."""
        ...


@contextmanager
def run_view(console: Console) -> Generator[RunView]:
    """The view that suits the console."""
    if not console.is_terminal:
        yield _Lines(console)
        return
    table = _LiveTable()
    # Drawn by the clock too, so that the time of a running step goes on.
    with Live(console=console, get_renderable=table.draw, refresh_per_second=10):
        yield table


def run_table(state: ShownRun, now: float) -> Table:
    """The steps of a run, a row each, and the run as a whole below."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("step")
    table.add_column("state", min_width=8)
    for title in ("items", "time"):
        table.add_column(title, justify="right", min_width=6)
    table.add_column("", width=_BAR_WIDTH)
    table.add_column("", justify="right", min_width=5)
    for step in state.steps.values():
        table.add_row(
            step.name,
            Text(step.phase, style=_STYLES[step.phase]),
            _items(step),
            _seconds(step, now),
            _bar(step.percentage),
            f"{step.percentage:.0f} %",
        )
    table.add_row("all", "", "", "", _bar(state.percentage), f"{state.percentage:.0f} %", style="bold")
    return table


class _LiveTable:
    def __init__(self) -> None:
        self._state = ShownRun()

    def show(self, state: ShownRun) -> None:
        self._state = state

    def draw(self) -> Table:
        return run_table(self._state, time.monotonic())


class _Lines:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._shown: dict[str, StepPhase] = {}

    def show(self, state: ShownRun) -> None:
        for step in state.steps.values():
            if step.phase is not self._shown.get(step.name, StepPhase.WAITING):
                self._shown[step.name] = step.phase
                self._line(step, state.percentage)

    def _line(self, step: StepProgress, percentage: float) -> None:
        now = time.monotonic()
        spent = _seconds(step, now) if step.phase.is_over else ""
        text = f"  {step.name:<16} {step.phase:<9} {spent:>8} {percentage:>5.0f} %  {step.message}"
        self._console.print(text.rstrip(), markup=False, highlight=False, soft_wrap=True)


def _items(step: StepProgress) -> str:
    return str(step.items) if step.items else ""


def _seconds(step: StepProgress, now: float) -> str:
    seconds = step.seconds(now)
    return "" if seconds is None else f"{seconds:.2f} s"


def _bar(percentage: float) -> ProgressBar:
    return ProgressBar(total=100, completed=percentage, width=_BAR_WIDTH)
