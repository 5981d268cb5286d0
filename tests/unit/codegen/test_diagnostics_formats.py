"""Diagnostics for tools: each format says the same, and says it so that nothing in a message can be taken for more."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema import Draft7Validator

from promptflow_codegen.diagnostics import Diagnostic, Position, Severity
from promptflow_codegen.diagnostics_formats import DiagnosticsFormat, render_diagnostics

ERROR = Diagnostic(
    Severity.ERROR, "type-mismatch", "flows/a b,c:%.yaml", Position(14, 9), "100% `x`\nis: wrong,", "do %0A"
)
WARNING = Diagnostic(Severity.WARNING, "untyped-output", "flows/ü.yaml", Position(2, 3), "cannot be told")

# The part of SARIF 2.1.0 that we write, as its specification demands it.
_TEXT = {"type": "object", "required": ["text"], "properties": {"text": {"type": "string", "minLength": 1}}}
_PLACE = {
    "type": "object",
    "required": ["artifactLocation", "region"],
    "properties": {
        "artifactLocation": {
            "type": "object",
            "properties": {"uri": {"type": "string", "pattern": r"^([!$&-;=@-Z_a-z~]|%[0-9A-F]{2})+$"}},
        },
        "region": {
            "type": "object",
            "properties": {name: {"type": "integer", "minimum": 1} for name in ("startLine", "startColumn")},
        },
    },
}
_RESULT = {
    "type": "object",
    "required": ["message"],
    "properties": {
        "ruleId": {"type": "string"},
        "ruleIndex": {"type": "integer", "minimum": 0},
        "level": {"enum": ["none", "note", "warning", "error"]},
        "message": _TEXT,
        "locations": {"type": "array", "items": {"type": "object", "properties": {"physicalLocation": _PLACE}}},
    },
}
SARIF = {
    "type": "object",
    "required": ["version", "runs"],
    "properties": {
        "version": {"const": "2.1.0"},
        "runs": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["tool"],
                "properties": {
                    "tool": {"type": "object", "required": ["driver"]},
                    "columnKind": {"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
                    "results": {"type": "array", "items": _RESULT},
                },
            },
        },
    },
}


def test_text_is_a_line_each_and_its_hint() -> None:
    assert render_diagnostics([WARNING, ERROR], DiagnosticsFormat.TEXT) == f"{WARNING}\n{ERROR}\n"


def test_json_has_every_part_and_the_counts() -> None:
    document = json.loads(render_diagnostics([ERROR, WARNING], DiagnosticsFormat.JSON))
    assert document == {
        "version": 1,
        "errors": 1,
        "warnings": 1,
        "diagnostics": [
            {
                "severity": "error",
                "code": "type-mismatch",
                "file": "flows/a b,c:%.yaml",
                "line": 14,
                "column": 9,
                "message": "100% `x`\nis: wrong,",
                "hint": "do %0A",
            },
            {
                "severity": "warning",
                "code": "untyped-output",
                "file": "flows/ü.yaml",
                "line": 2,
                "column": 3,
                "message": "cannot be told",
                "hint": "",
            },
        ],
    }


def test_a_command_of_github_is_one_line_whatever_a_message_holds() -> None:
    assert render_diagnostics([ERROR, WARNING], DiagnosticsFormat.GITHUB) == (
        "::error file=flows/a b%2Cc%3A%25.yaml,line=14,col=9,title=type-mismatch"
        "::100%25 `x`%0Ais: wrong,%0Ahint: do %250A\n"
        "::warning file=flows/ü.yaml,line=2,col=3,title=untyped-output::cannot be told\n"
    )


@pytest.mark.parametrize("found", [(), (ERROR,), (WARNING, ERROR)])
def test_sarif_is_as_its_specification_demands(found: tuple[Diagnostic, ...]) -> None:
    document: Any = json.loads(render_diagnostics(found, DiagnosticsFormat.SARIF))
    assert [error.message for error in Draft7Validator(SARIF).iter_errors(document)] == []
    (run,) = document["runs"]
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert [rules[result["ruleIndex"]] for result in run["results"]] == [one.code for one in found]
    assert [result["level"] for result in run["results"]] == [str(one.severity) for one in found]


def test_a_place_in_sarif_is_a_uri_below_the_project() -> None:
    document = json.loads(render_diagnostics([ERROR], DiagnosticsFormat.SARIF))
    place = document["runs"][0]["results"][0]["locations"][0]["physicalLocation"]
    assert place["artifactLocation"] == {"uri": "flows/a%20b%2Cc%3A%25.yaml", "uriBaseId": "PROJECTROOT"}
    assert place["region"] == {"startLine": 14, "startColumn": 9}
