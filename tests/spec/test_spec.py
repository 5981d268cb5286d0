"""Runs the specification of the flow language: each `##` section of a page is one case.

A section holds flow files (```yaml, or ```yaml flows/name.yaml) and what the check says (```diagnostics, empty where
nothing is wrong). A second ```yaml for the same file is a later state: it is checked after the first was generated.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from promptflow_codegen.generate import generate
from promptflow_codegen.project import Project
from promptflow_codegen.write import write
from promptflow_core.executor import Catalog
from promptflow_core.registry import ExecutorRegistry

PAGES = sorted(Path(__file__).parent.glob("*.md"))

_SECTION = re.compile(r"^## (?P<title>.+)$", re.MULTILINE)
_BLOCK = re.compile(r"^```(?P<kind>yaml|diagnostics)(?: (?P<file>\S+))?\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Case:
    """Files in the order in which they are written, and what is said in the end."""

    title: str
    files: tuple[tuple[str, str], ...]
    expected: str


def cases() -> Mapping[str, Case]:
    """Every section of every page, by page and title."""
    found: dict[str, Case] = {}
    for page in PAGES:
        parts = _SECTION.split(page.read_text("utf-8"))[1:]
        for title, body in zip(parts[::2], parts[1::2], strict=True):
            found[f"{page.stem}: {title}"] = _parse(title, body)
    return found


def _parse(title: str, body: str) -> Case:
    blocks = list(_BLOCK.finditer(body))
    files = tuple((block["file"] or "flows/flow.yaml", block["text"]) for block in blocks if block["kind"] == "yaml")
    (expected,) = (block["text"] for block in blocks if block["kind"] == "diagnostics")
    return Case(title, files, expected)


CASES = cases()


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return ExecutorRegistry.load().catalog()


@pytest.mark.parametrize("name", CASES)
def test_the_specification_holds(name: str, catalog: Catalog, tmp_path: Path) -> None:
    assert says(CASES[name], catalog, tmp_path) == CASES[name].expected


def says(case: Case, catalog: Catalog, root: Path) -> str:
    (root / "flows").mkdir()
    project = Project.at(root)
    written: set[str] = set()
    for file, text in case.files:
        if file in written:
            generated = generate(project, catalog)
            assert not generated.has_errors, generated.diagnostics
            write(project, generated)
            written.clear()
        written.add(file)
        (root / file).write_text(text, "utf-8")
    return "".join(f"{diagnostic}\n" for diagnostic in generate(project, catalog).diagnostics)


def test_every_page_has_cases() -> None:
    assert {page.stem for page in PAGES} >= {"compatibility", "inputs", "outputs", "source", "steps", "templates"}
