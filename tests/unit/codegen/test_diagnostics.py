"""How mistakes are ordered and printed."""

from __future__ import annotations

from promptflow_codegen.diagnostics import Diagnostic, Position, Report, Severity, sort_diagnostics


def test_a_diagnostic_is_one_line_and_its_hint_another() -> None:
    found = Diagnostic(Severity.ERROR, "type-mismatch", "flows/x.yaml", Position(14, 9), "a\nb  is wrong", "do\nthis")
    assert str(found) == "flows/x.yaml:14:9: error[type-mismatch]: a b is wrong\n  hint: do this"


def test_diagnostics_are_sorted_by_file_and_place() -> None:
    def at(file: str, line: int, column: int) -> Diagnostic:
        return Diagnostic(Severity.WARNING, "x", file, Position(line, column), "m")

    found = [at("b", 1, 1), at("a", 10, 1), at("a", 2, 9), at("a", 2, 1)]
    assert list(sort_diagnostics(found)) == [at("a", 2, 1), at("a", 2, 9), at("a", 10, 1), at("b", 1, 1)]


def test_a_warning_stops_nothing_and_a_mistake_is_told_once() -> None:
    report = Report("x")
    report.warning("w", Position(), "careful")
    assert not report.has_errors
    for _ in range(2):
        report.error("e", Position(2), "wrong")
    assert (report.has_errors, len(report.diagnostics)) == (True, 2)
