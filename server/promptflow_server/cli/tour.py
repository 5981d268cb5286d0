"""The main job of `up --demo`: a letter is read and judged, and its result held against what the page says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from promptflow_server.cli.failures import CommandError
from promptflow_server.cli.run import api_path, follow_run, result_of

FLOW, VERSION = "document_insight", 1
LETTER = Path("samples") / "letter.jpg"

_MIN_CONFIDENCE = 0.8
_MIN_LIKENESS = 0.95
_LABELS = {"desk is wonderful": "positive", "is a disaster": "negative"}
_STYLES = {"positive": "green", "negative": "red"}


def require_letter(project: Path) -> None:
    """Nothing, where the project has the letter and its text.

    Raises:
        CommandError: it has not.
    """
    for path in (LETTER, LETTER.with_suffix(".txt")):
        if not (project / path).is_file():
            raise CommandError(
                f"the demo needs `{path}`, which is not in `{project}`; run it in PromptFlow's repository"
            )


async def give_tour(url: str, project: Path, steps: Sequence[str], console: Console) -> None:
    """Run the flow on the letter, show how it goes, print the result.

    Raises:
        CommandError: the run failed, or the page does not say what the result does.
    """
    letter = project / LETTER
    console.print(f"\n{FLOW} on {LETTER}", style="bold")
    parts = [("document", (letter.name, letter.read_bytes()))]
    state = await follow_run(url, api_path(FLOW, VERSION), parts, console, steps)
    result = result_of(state)
    _print_result(result, console)
    problems = find_problems(result, letter.with_suffix(".txt").read_text("utf-8"))
    if problems:
        raise CommandError(f"the result of the demo is wrong: {'; '.join(problems)}")
    console.print("the result is what the page says", style="green")


def find_problems(result: Mapping[str, Any], letter: str) -> list[str]:
    """Where a result of the flow differs from what the letter must give; empty when it is right."""
    problems: list[str] = []
    likeness = SequenceMatcher(None, str(result.get("text", "")).split(), letter.split(), autojunk=False).ratio()
    if likeness < _MIN_LIKENESS:
        problems.append(f"only {likeness:.0%} of its words are those of the page")
    if not float(result.get("mean_confidence", 0.0)) > _MIN_CONFIDENCE:
        problems.append(f"the mean confidence is {result.get('mean_confidence')}, not above {_MIN_CONFIDENCE}")
    if result.get("mood") != "mixed":
        problems.append(f"the mood is {result.get('mood')}, not mixed")
    sentences: Sequence[Mapping[str, Any]] = result.get("sentences", ())
    for phrase, label in _LABELS.items():
        labels = [sentence.get("label") for sentence in sentences if phrase in str(sentence.get("text"))]
        if labels != [label]:
            problems.append(
                f"the sentence with {phrase!r} is {' and '.join(map(str, labels)) or 'not there'}, not {label}"
            )
    return problems


def _print_result(result: Mapping[str, Any], console: Console) -> None:
    sentences: Sequence[Mapping[str, Any]] = result.get("sentences", ())
    console.print()
    for sentence in sentences:
        label = str(sentence.get("label", "?"))
        line = Text(f"  {label:<9}", style=_STYLES.get(label, ""))
        line.append(f"{float(sentence.get('confidence', 0.0)):.2f}  {sentence.get('text', '')}", style="default")
        console.print(line, soft_wrap=True)
    confidence = float(result.get("mean_confidence", 0.0))
    summary = f"\nmood: {result.get('mood', '?')}   mean OCR confidence: {confidence:.2f}   sentences: {len(sentences)}"
    console.print(summary, style="bold", soft_wrap=True)
