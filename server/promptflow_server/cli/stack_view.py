"""What the parts of a running PromptFlow do, a line each as it happens."""

from __future__ import annotations

from rich.console import Console
from rich.status import Status
from rich.text import Text

from promptflow_server.supervisor.part import PartChange, PartEvent

_STYLES = {
    PartChange.READY: "green",
    PartChange.DIED: "yellow",
    PartChange.KILLED: "yellow",
}


class StackView:
    """Prints part events; on a terminal, also which parts are being waited for."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._awaited: list[str] = []
        self._status: Status | None = None

    def report(self, event: PartEvent) -> None:
        """Show one event."""
        self.close()
        if event.part in self._awaited:
            self._awaited.remove(event.part)
        if event.change is PartChange.STARTING:
            self._awaited.append(event.part)
        else:
            self._console.print(_line(event), soft_wrap=True)
        if self._awaited and self._console.is_terminal:
            self._status = self._console.status(f"starting: {', '.join(self._awaited)}")
            self._status.start()

    def close(self) -> None:
        """Take away what says that something is being waited for."""
        if self._status is not None:
            self._status.stop()
            self._status = None


def _line(event: PartEvent) -> Text:
    line = Text(f"  {event.part:<10} ")
    line.append(f"{event.change:<9}", style=_STYLES.get(event.change, ""))
    if event.change is not PartChange.STOPPING:
        line.append(f"{event.after_s:6.1f} s")
    return line.append(f"   {event.detail}" if event.detail else "")
