"""What is wrong in the files that people write: data, collected, sorted and printed together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

MAX_PER_FILE = 50


class Severity(StrEnum):
    """An error stops generation, a warning does not."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place in a file, both counted from 1."""

    line: int = 1
    column: int = 1


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One mistake: where, what, and in `hint` what to do. `code` is stable, for tools to act on."""

    severity: Severity
    code: str
    file: str
    position: Position
    message: str
    hint: str = ""

    @property
    def is_error(self) -> bool:
        """Nothing is generated while this stands."""
        return self.severity is Severity.ERROR

    def __str__(self) -> str:
        place = f"{_printable(self.file)}:{self.position.line}:{self.position.column}"
        text = f"{place}: {self.severity}[{self.code}]: {_one_line(self.message)}"
        return f"{text}\n  hint: {_one_line(self.hint)}" if self.hint else text


@dataclass(slots=True)
class Report:
    """Collects the diagnostics of one file; what comes after the first fifty is counted alone."""

    file: str
    _found: list[Diagnostic] = field(default_factory=list[Diagnostic])
    _left_out: int = 0

    def error(self, code: str, position: Position, message: str, hint: str = "") -> None:
        """Add a mistake that stops generation."""
        self._add(Diagnostic(Severity.ERROR, code, self.file, position, message, hint))

    def warning(self, code: str, position: Position, message: str, hint: str = "") -> None:
        """Add something that is better changed."""
        self._add(Diagnostic(Severity.WARNING, code, self.file, position, message, hint))

    @property
    def has_errors(self) -> bool:
        """Whether anything stops generation."""
        return any(diagnostic.is_error for diagnostic in self._found)

    @property
    def count(self) -> int:
        """How many diagnostics there are, those that are left out among them."""
        return len(self._found) + self._left_out

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """What was found, sorted by place."""
        if not self._left_out:
            return sort_diagnostics(self._found)
        last = max(diagnostic.position for diagnostic in self._found)
        more = Diagnostic(Severity.ERROR, "too-many", self.file, last, f"and {self._left_out} more")
        return sort_diagnostics([*self._found, more])

    def _add(self, diagnostic: Diagnostic) -> None:
        if diagnostic in self._found:
            return
        if len(self._found) >= MAX_PER_FILE:
            self._left_out += 1
        else:
            self._found.append(diagnostic)


def sort_diagnostics(diagnostics: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """By file, then by place, then by code."""
    return tuple(sorted(diagnostics, key=lambda found: (found.file, found.position, found.code, found.message)))


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _printable(name: str) -> str:
    """A file name that no terminal takes for a command."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in name)
