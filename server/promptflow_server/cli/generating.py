"""From flows to the bundle, and what stands in the way."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from promptflow_codegen.bundle import Bundle
from promptflow_codegen.diagnostics import Diagnostic
from promptflow_codegen.generate import Generated, generate
from promptflow_codegen.project import Project
from promptflow_codegen.write import drift, write
from promptflow_server.cli.environment import load_registry, project_at, settings_of, with_executors_of
from promptflow_server.cli.failures import CommandError


def generate_command(folder: Path) -> None:
    """Generate, and name what was written."""
    generate_bundle(project_at(folder), Console(highlight=False))


def check_command(folder: Path) -> None:
    """Print every diagnostic, and every generated file that is not as it would be.

    Raises:
        CommandError: there is an error, or such a file.
    """
    console = Console(highlight=False)
    project = project_at(folder)
    generated = _generated(project, console)
    stale = drift(project, generated)
    for path in stale:
        _line(console, f"{path}: not as it would be generated")
    if stale:
        are = "file is" if len(stale) == 1 else "files are"
        raise CommandError(f"{len(stale)} generated {are} out of date; run `promptflow generate`")
    _line(console, f"{len(_bundle(generated).plans)} flows are right, and what is generated from them is up to date")


def generate_bundle(project: Project, console: Console) -> Bundle:
    """Write everything that the flows stand for, and tell what changed.

    Raises:
        CommandError: the flows have errors, which were printed; nothing was written.
    """
    generated = _generated(project, console)
    bundle = _bundle(generated)
    written = write(project, generated)
    for path in written:
        _line(console, f"  wrote {path}")
    _line(console, f"  bundle {bundle.digest}: {', '.join(f'{plan.name} v{plan.version}' for plan in bundle.plans)}")
    return bundle


def _generated(project: Project, console: Console) -> Generated:
    settings = with_executors_of(project, settings_of(project.root))
    generated = generate(project, load_registry(settings).catalog())
    for diagnostic in generated.diagnostics:
        _line(console, str(diagnostic))
    if generated.has_errors:
        raise CommandError(f"{_errors(generated.diagnostics)} in the flows of `{project.root}`; nothing was written")
    return generated


def _bundle(generated: Generated) -> Bundle:
    if generated.bundle is None:
        raise AssertionError("a bundle is there where no error is")
    return generated.bundle


def _errors(diagnostics: tuple[Diagnostic, ...]) -> str:
    count = sum(diagnostic.is_error for diagnostic in diagnostics)
    return "1 error" if count == 1 else f"{count} errors"


def _line(console: Console, text: str) -> None:
    console.print(text, markup=False, soft_wrap=True)
