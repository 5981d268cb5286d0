"""Diagnostics as people and tools read them: lines of text, a JSON document, GitHub's annotations, SARIF 2.1.0."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any
from urllib.parse import quote

from promptflow_codegen.diagnostics import Diagnostic, Severity

JSON_VERSION = 1
"""Of the JSON document: it grows by new keys, and takes a new number where one changes its meaning."""

_SARIF_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/os/schemas/sarif-schema-2.1.0.json"
_ROOT = "PROJECTROOT"


class DiagnosticsFormat(StrEnum):
    """How diagnostics are told."""

    TEXT = "text"
    JSON = "json"
    GITHUB = "github"
    SARIF = "sarif"


def render_diagnostics(diagnostics: Sequence[Diagnostic], form: DiagnosticsFormat) -> str:
    """The diagnostics in their order, ended by a line break; "" where the format has nothing to say about none."""
    return _RENDERERS[form](diagnostics)


def _text(diagnostics: Sequence[Diagnostic]) -> str:
    return "".join(f"{found}\n" for found in diagnostics)


def _json(diagnostics: Sequence[Diagnostic]) -> str:
    errors = sum(found.is_error for found in diagnostics)
    document = {
        "version": JSON_VERSION,
        "errors": errors,
        "warnings": len(diagnostics) - errors,
        "diagnostics": [_record(found) for found in diagnostics],
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _record(found: Diagnostic) -> Mapping[str, Any]:
    return {
        "severity": str(found.severity),
        "code": found.code,
        "file": found.file,
        "line": found.position.line,
        "column": found.position.column,
        "message": found.message,
        "hint": found.hint,
    }


def _github(diagnostics: Sequence[Diagnostic]) -> str:
    return "".join(f"{_annotation(found)}\n" for found in diagnostics)


def _annotation(found: Diagnostic) -> str:
    properties = {
        "file": found.file,
        "line": str(found.position.line),
        "col": str(found.position.column),
        "title": found.code,
    }
    listed = ",".join(f"{name}={_escaped_property(value)}" for name, value in properties.items())
    return f"::{found.severity} {listed}::{_escaped_data(_with_hint(found))}"


def _escaped_data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _escaped_property(text: str) -> str:
    return _escaped_data(text).replace(":", "%3A").replace(",", "%2C")


def _with_hint(found: Diagnostic) -> str:
    return f"{found.message}\nhint: {found.hint}" if found.hint else found.message


def _sarif(diagnostics: Sequence[Diagnostic]) -> str:
    codes = sorted({found.code for found in diagnostics})
    run = {
        "tool": {"driver": {"name": "promptflow", "rules": [{"id": code} for code in codes]}},
        "columnKind": "unicodeCodePoints",
        "originalUriBaseIds": {_ROOT: {"description": {"text": "The folder that has `flows/`"}}},
        "results": [_result(found, codes.index(found.code)) for found in diagnostics],
    }
    document = {"$schema": _SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _result(found: Diagnostic, rule: int) -> Mapping[str, Any]:
    place = {
        "artifactLocation": {"uri": quote(found.file), "uriBaseId": _ROOT},
        "region": {"startLine": found.position.line, "startColumn": found.position.column},
    }
    return {
        "ruleId": found.code,
        "ruleIndex": rule,
        "level": "error" if found.severity is Severity.ERROR else "warning",
        "message": {"text": _with_hint(found)},
        "locations": [{"physicalLocation": place}],
    }


_RENDERERS: Mapping[DiagnosticsFormat, Callable[[Sequence[Diagnostic]], str]] = {
    DiagnosticsFormat.TEXT: _text,
    DiagnosticsFormat.JSON: _json,
    DiagnosticsFormat.GITHUB: _github,
    DiagnosticsFormat.SARIF: _sarif,
}
