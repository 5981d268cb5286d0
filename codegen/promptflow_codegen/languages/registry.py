"""The languages by name."""

from __future__ import annotations

from collections.abc import Mapping

from promptflow_codegen.languages.go import GoLanguage
from promptflow_codegen.languages.language import Language
from promptflow_codegen.languages.python import PythonLanguage
from promptflow_codegen.languages.typescript import TypeScriptLanguage


def languages() -> Mapping[str, Language]:
    """Every language that packages can be made for."""
    known: tuple[Language, ...] = (PythonLanguage(), GoLanguage(), TypeScriptLanguage())
    return {language.name: language for language in known}
