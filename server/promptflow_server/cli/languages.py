"""Client packages of a project's own flows, in the languages that are asked for."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from rich.console import Console

from promptflow_codegen.diagnostics_formats import DiagnosticsFormat
from promptflow_codegen.languages.language import ClientSource, Language, MissingTool, Tools
from promptflow_codegen.languages.registry import languages
from promptflow_codegen.naming import FLOWS_PACKAGE
from promptflow_codegen.project import SETTINGS_FILE, Project
from promptflow_codegen.write_packages import Written, check_folders, write_packages
from promptflow_server.cli.environment import project_at
from promptflow_server.cli.failures import CommandError
from promptflow_server.cli.generating import bundle_of, generated_of, progress_in, write_tree


def languages_command(folder: Path, names: str, out: Path, form: DiagnosticsFormat = DiagnosticsFormat.TEXT) -> None:
    """Generate the project and a package per language in `out`; where one cannot be made or written, nothing is.

    Raises:
        CommandError: a language or a tool is not there, the project has no package of its own, or flows have errors.
        LanguageError: the project's names do not do for a language.
        PluginError: a tool refuses.
        WriteError: something else is in `out`, or cannot be written.
    """
    asked = _asked(names)
    tools = {language.name: _tools_of(language) for language in asked}
    project = project_at(folder)
    _require_own_package(project)
    check_folders(out, tuple(tools))
    generated, progress = generated_of(project, Console(), form), progress_in(form)
    source = ClientSource.of(project, bundle_of(generated))
    packages = {language.name: language.generate(source, tools[language.name]) for language in asked}
    _tell(write_packages(out, packages, partial(write_tree, project, generated, progress)), out, progress)


def _asked(names: str) -> tuple[Language, ...]:
    known = languages()
    asked = list(dict.fromkeys(name.strip() for name in names.split(",") if name.strip()))
    unknown = [name for name in asked if name not in known]
    if unknown or not asked:
        said = f"there is no language `{unknown[0]}`" if unknown else "`--lang` names no language"
        raise CommandError(f"{said}; there are {', '.join(sorted(known))}")
    return tuple(known[name] for name in asked)


def _tools_of(language: Language) -> Tools:
    tools = language.find_tools()
    if isinstance(tools, MissingTool):
        raise CommandError(f"{tools}; nothing was written")
    return tools


def _require_own_package(project: Project) -> None:
    if project.flows_package == FLOWS_PACKAGE:
        raise CommandError(
            f"the flows are in PromptFlow's own package `{FLOWS_PACKAGE}`, which other programs may hold as well; "
            f"name yours in {project.root / SETTINGS_FILE}, such as `package: acme.flows`"
        )


def _tell(written: Written, out: Path, console: Console) -> None:
    lines = [f"  wrote {out / path}" for path in written.written]
    lines += [f"  removed {out / path}" for path in written.removed]
    lines += [f"  kept {out / path}, which was edited" for path in written.kept]
    if not lines:
        lines = [f"  {out} is up to date"]
    for line in lines:
        console.print(line, markup=False, soft_wrap=True)
