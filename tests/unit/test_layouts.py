"""A package's docstring names everything that is in it: a newcomer reads only that to know where a line lives."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = tuple(f"{part}/promptflow_{part}" for part in ("core", "codegen", "server", "workers"))
SELF_EVIDENT = {"__init__", "__main__", "__pycache__"}


def packages() -> list[Path]:
    """Every package that has modules beside its `__init__`."""
    found = (init.parent for source in SOURCES for init in sorted((ROOT / source).rglob("__init__.py")))
    return [folder for folder in found if members(folder)]


def members(folder: Path) -> set[str]:
    """Modules, and packages below."""
    modules = {path.stem for path in folder.glob("*.py")} | {path.parent.name for path in folder.glob("*/__init__.py")}
    return modules - SELF_EVIDENT


@pytest.mark.parametrize("folder", packages(), ids=lambda folder: folder.relative_to(ROOT).as_posix())
def test_the_docstring_of_a_package_names_every_module(folder: Path) -> None:
    text = ast.get_docstring(ast.parse((folder / "__init__.py").read_text("utf-8"))) or ""
    assert members(folder) - set(re.findall(r"\w+", text)) == set()
