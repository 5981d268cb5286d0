"""A run as it goes: a live table on a terminal, else a line for each thing that happens."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
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
_BAR_WIDTH = 16
_MESSAGE_EVERY_S = 2.0


class RunView(Protocol):
    """Shows each state of a run."""

    def show(self, state: ShownRun) -> None:
        """The run is now in `state`."""
        ...


@contextmanager
def run_view(console: Console, clock: Callable[[], float] = time.monotonic) -> Generator[RunView]:
    """The view that suits the console."""
    if not console.is_terminal:
        yield _Lines(console, clock)
        return
    table = _LiveTable(clock)
    # Drawn by the clock too, so that the time of a running step goes on.
    with Live(console=console, get_renderable=table.draw, refresh_per_second=10):
        yield table


def run_table(state: ShownRun, now: float) -> Table:
    """The steps of a run, a row each, and the run as a whole below."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", expand=True)
    table.add_column("step")
    table.add_column("state", min_width=8)
    for title in ("items", "time"):
        table.add_column(title, justify="right", min_width=6)
    table.add_column("", width=_BAR_WIDTH)
    table.add_column("", justify="right", min_width=5)
    # What is left of the width, so that a long message takes nothing from the other columns.
    table.add_column("", no_wrap=True, overflow="ellipsis", ratio=1)
    for step in state.steps.values():
        table.add_row(
            step.name,
            Text(step.phase, style=_STYLES[step.phase]),
            _items(step),
            _seconds(step, now),
            _bar(step.percentage),
            f"{step.percentage:.0f} %",
            Text(step.message, style="dim"),
        )
    table.add_row("all", "", "", "", _bar(state.percentage), f"{state.percentage:.0f} %", "", style="bold")
    return table


class _LiveTable:
    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._state = ShownRun()

    def show(self, state: ShownRun) -> None:
        self._state = state

    def draw(self) -> Table:
        return run_table(self._state, self._clock())


class _Lines:
    """A line for each phase of a step, and now and then one for its message."""

    def __init__(self, console: Console, clock: Callable[[], float]) -> None:
        self._console = console
        self._clock = clock
        self._shown: dict[str, _Shown] = {}

    def show(self, state: ShownRun) -> None:
        now = self._clock()
        for step in state.steps.values():
            shown = self._shown.get(step.name, _Shown())
            is_news = step.message not in ("", shown.message) and now - shown.at >= _MESSAGE_EVERY_S
            if step.phase is not shown.phase or is_news:
                self._shown[step.name] = _Shown(step.phase, step.message, now)
                self._line(step, state.percentage, now)

    def _line(self, step: StepProgress, percentage: float, now: float) -> None:
        spent = _seconds(step, now) if step.phase.is_over else ""
        text = f"  {step.name:<16} {step.phase:<9} {spent:>8} {percentage:>5.0f} %  {step.message}"
        self._console.print(text.rstrip(), markup=False, highlight=False, soft_wrap=True)


@dataclass(frozen=True, slots=True)
class _Shown:
    """What the last line of a step said, and when."""

    phase: StepPhase = StepPhase.WAITING
    message: str = ""
    at: float = -math.inf


def _items(step: StepProgress) -> str:
    return str(step.items) if step.items else ""


def _seconds(step: StepProgress, now: float) -> str:
    seconds = step.seconds(now)
    return "" if seconds is None else f"{seconds:.2f} s"


def _bar(percentage: float) -> ProgressBar:
    return ProgressBar(total=100, completed=percentage, width=_BAR_WIDTH)
