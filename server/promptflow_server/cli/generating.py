"""From flows to the bundle, and what stands in the way."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from promptflow_codegen.bundle import Bundle
from promptflow_codegen.diagnostics import Diagnostic, Position, Severity
from promptflow_codegen.diagnostics_formats import DiagnosticsFormat, render_diagnostics
from promptflow_codegen.generate import Generated, generate
from promptflow_codegen.project import Project
from promptflow_codegen.reuse import notes_path
from promptflow_codegen.write import drift, prune_bundles, write
from promptflow_server.cli.environment import load_registry, project_at, settings_of, with_executors_of
from promptflow_server.cli.failures import CommandError


def generate_command(folder: Path, form: DiagnosticsFormat = DiagnosticsFormat.TEXT) -> None:
    """Generate, and name what was written; in a format for tools, the diagnostics alone are printed."""
    project = project_at(folder)
    write_tree(project, generated_of(project, Console(), form), progress_in(form))


def check_command(folder: Path, form: DiagnosticsFormat = DiagnosticsFormat.TEXT) -> None:
    """Print every diagnostic, and every generated file that is not as it would be.

    Raises:
        CommandError: there is an error, or such a file.
    """
    project = project_at(folder)
    generated = _generate(project)
    stale = drift(project, generated)
    _tell(Console(), [*generated.diagnostics, *map(_stale, stale)], form)
    _refuse_errors(project, generated)
    if stale:
        are = "file is" if len(stale) == 1 else "files are"
        raise CommandError(f"{len(stale)} generated {are} out of date; run `promptflow generate`")
    count = len(bundle_of(generated).plans)
    _line(progress_in(form), f"{count} flows are right, and what is generated from them is up to date")


def generate_bundle(project: Project, console: Console) -> Bundle:
    """Write everything that the flows stand for, and tell what changed.

    Raises:
        CommandError: the flows have errors, which were printed; nothing was written.
    """
    return write_tree(project, generated_of(project, console), console)


def write_tree(project: Project, generated: Generated, console: Console) -> Bundle:
    """Write what was generated into the project, and tell what changed."""
    bundle = bundle_of(generated)
    written = write(project, generated, _notes(project))
    prune_bundles(project.bundles_dir, keep_s=settings_of(project.root).keep_finished_s)
    if written:
        # At once: line by line, some thousand of them take longer than to write the files.
        _line(console, "\n".join(f"  wrote {path}" for path in written))
    _line(console, f"  bundle {bundle.digest}: {', '.join(f'{plan.name} v{plan.version}' for plan in bundle.plans)}")
    return bundle


def progress_in(form: DiagnosticsFormat) -> Console:
    """Where lines go that are for people: nowhere, where a tool reads the rest."""
    return Console(highlight=False, quiet=form is not DiagnosticsFormat.TEXT)


def generated_of(project: Project, console: Console, form: DiagnosticsFormat = DiagnosticsFormat.TEXT) -> Generated:
    """Everything that the flows stand for, in memory; what is to say about them is printed.

    Raises:
        CommandError: the flows have errors.
    """
    generated = _generate(project)
    _tell(console, generated.diagnostics, form)
    _refuse_errors(project, generated)
    return generated


def _generate(project: Project) -> Generated:
    settings = with_executors_of(project, settings_of(project.root))
    return generate(project, load_registry(settings).catalog(), notes=_notes(project))


def _notes(project: Project) -> Path:
    return notes_path(settings_of(project.root).cache_dir, project)


def _tell(console: Console, diagnostics: Sequence[Diagnostic], form: DiagnosticsFormat) -> None:
    console.out(render_diagnostics(diagnostics, form), end="", highlight=False)


def _refuse_errors(project: Project, generated: Generated) -> None:
    if generated.has_errors:
        raise CommandError(f"{_errors(generated.diagnostics)} in the flows of `{project.root}`; nothing was written")


def _stale(path: Path) -> Diagnostic:
    message, hint = "not as it would be generated", "run `promptflow generate`"
    return Diagnostic(Severity.ERROR, "out-of-date", path.as_posix(), Position(), message, hint)


def bundle_of(generated: Generated) -> Bundle:
    """The bundle of flows that have no error."""
    if generated.bundle is None:
        raise AssertionError("a bundle is there where no error is")
    return generated.bundle


def _errors(diagnostics: tuple[Diagnostic, ...]) -> str:
    count = sum(diagnostic.is_error for diagnostic in diagnostics)
    return "1 error" if count == 1 else f"{count} errors"


def _line(console: Console, text: str) -> None:
    console.print(text, markup=False, soft_wrap=True)
