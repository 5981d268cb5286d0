"""The weights of models: listed, pulled with a bar for each file, verified."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn

from promptflow_codegen.plan import FlowPlan
from promptflow_core.settings import Settings
from promptflow_server.cli.environment import settings_of
from promptflow_server.cli.failures import CommandError
from promptflow_workers.executors.sentiment_analyzer import MODEL as SENTIMENT_MODEL
from promptflow_workers.executors.sentiment_analyzer import SentimentAnalyzer
from promptflow_workers.models.pull import ProgressSink, PullProgress
from promptflow_workers.models.repository import VerifyReport, list_models, pull_models, verify_model


def list_command(project: Path) -> None:
    """A line for each model, and one for each of its files."""
    console = Console(highlight=False)
    for model in list_models(settings_of(project)):
        state = "complete" if model.is_complete else "not complete, run `promptflow models pull`"
        _line(console, f"{model.name} {model.version} ({model.task}, {model.licence}): {state}")
        for file in model.files:
            _line(console, f"  {'here' if file.is_cached else 'absent':<7} {file.bytes:>12,} bytes  {file.path}")


def pull_command(project: Path, names: Sequence[str]) -> None:
    """Pull, and say what is there now."""
    console = Console(highlight=False)
    pull_weights(settings_of(project), names, console)


def verify_command(project: Path, names: Sequence[str]) -> None:
    """Verify each model.

    Raises:
        CommandError: one of them is not as it should be.
    """
    settings, console = settings_of(project), Console(highlight=False)
    wrong: list[str] = []
    for name in names or [model.name for model in list_models(settings)]:
        report = verify_model(settings, name)
        for line in _report_lines(report):
            _line(console, line)
        if not report.is_ok:
            wrong.append(name)
    if wrong:
        raise CommandError(f"not as they should be: {', '.join(wrong)}")


def pull_weights(settings: Settings, names: Sequence[str], console: Console) -> None:
    """Bring the weights of the named models, or of all, and tell about it.

    Raises:
        FlowError: MODEL_UNAVAILABLE, with what to do.
    """
    with _bars(console) as show:
        pulled = pull_models(settings, names, show)
    for name, model in pulled.items():
        _line(console, f"  weights of {name}: {', '.join(model.paths) or 'none to fetch'}")


def users_of(model: str, plans: Sequence[FlowPlan]) -> list[str]:
    """The flows that cannot do without a model, sorted."""
    executors = {SentimentAnalyzer.name} if model == SENTIMENT_MODEL else set[str]()
    users = {(plan.name, plan.version) for plan in plans if any(step.executor in executors for step in plan.steps)}
    while True:
        callers = {
            (plan.name, plan.version)
            for plan in plans
            if any(step.flow is not None and (step.flow.name, step.flow.version) in users for step in plan.steps)
        }
        if callers <= users:
            return sorted({name for name, _ in users})
        users |= callers


@contextmanager
def _bars(console: Console) -> Generator[ProgressSink]:
    """A line for each file and source, and on a terminal a bar."""
    tasks: dict[tuple[str, str], TaskID] = {}
    told: set[tuple[str, str, str]] = set()
    columns = (TextColumn("  {task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:

        def show(state: PullProgress) -> None:
            key = (state.model, state.file)
            if (*key, state.source) not in told:
                told.add((*key, state.source))
                source = f"from {state.source}" if state.source else "when the process that fetches it is done"
                _line(console, f"  {state.model}: {state.file}, {state.total_bytes / 1e6:.1f} MB, {source}")
            if key not in tasks:
                tasks[key] = progress.add_task(state.file, total=state.total_bytes)
            progress.update(tasks[key], completed=state.done_bytes)

        yield show


def _report_lines(report: VerifyReport) -> list[str]:
    verdict = "ok" if report.is_ok else "not ok"
    lines = [
        f"{report.model} {report.version}: {verdict}, {report.texts} examples, batched differs from single by "
        f"{report.max_abs_difference:.1e} (at most {report.tolerance:.1e})"
    ]
    return lines + [
        f"  {mistake.text!r} is {mistake.label} ({mistake.confidence:.3f}), not {mistake.expected}"
        for mistake in report.mistakes
    ]


def _line(console: Console, text: str) -> None:
    console.print(text, markup=False, soft_wrap=True)
