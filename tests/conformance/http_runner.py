"""Cases over HTTP, as curl sends them: a JSON body, or a form with files."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
from tests.conformance.table import ROOT, Case, Outcome

PATHS = {"status": ("GET", "status"), "cancel": ("POST", "cancel"), "watch": ("GET", "watch")}


async def run_case(case: Case, http: httpx.AsyncClient) -> Outcome:
    """Do what a case says with a JSON body; `http` has the gateway as its base URL."""
    if case.call != "run":
        verb, path = PATHS[case.call]
        answer = await http.request(verb, f"{_root(case)}/{path}/{case.execution_id}")
        return _outcome_of(answer)
    body = {**{name: json_of(value) for name, value in case.inputs.items()}, "execution_mode": "SYNC"}
    return _outcome_of(await http.post(f"{_root(case)}/execute", json=body))


async def run_case_as_form(case: Case, http: httpx.AsyncClient) -> Outcome:
    """Do what a case says with `multipart/form-data`: files as files, other values as texts."""
    files: list[tuple[str, tuple[str | None, bytes | str]]] = [("execution_mode", (None, "SYNC"))]
    for name, value in case.inputs.items():
        match value:
            case {"$file": path}:
                files.append((name, (Path(path).name, (ROOT / path).read_bytes())))
            case {"$content": content, **more}:
                files.append((name, (str(more.get("name", "file")), base64.b64decode(content))))
            case _:
                text = json_of(value)
                files.append((name, (None, text if isinstance(text, str) else json.dumps(text))))
    return _outcome_of(await http.post(f"{_root(case)}/execute", files=files))


def json_of(value: Any) -> Any:
    """A tagged value of a case as JSON has it."""
    match value:
        case {"$file": path}:
            content = base64.b64encode((ROOT / path).read_bytes()).decode()
            return {"content": content, "name": Path(path).name}
        case {"$content": content, **more}:
            return {"content": content, **more}
        case {"$bytes": text} | {"$timestamp": text} | {"$duration": text}:
            return text
        case {"$repeat": text, "times": times}:
            return text * times
        case dict():
            return {key: json_of(item) for key, item in value.items()}
        case list():
            return [json_of(item) for item in value]
        case _:
            return value


def _root(case: Case) -> str:
    return f"/api/v{case.version}/{case.flow.replace('_', '-')}"


def _outcome_of(answer: httpx.Response) -> Outcome:
    document = answer.json()
    if answer.status_code != 200:
        return _failure_of(document)
    if isinstance(document, list):
        document = document[-1]["done"]
    if document.get("error"):
        return _failure_of(document["error"])
    steps = {name: step["state"]["status"] for name, step in document.get("steps", {}).items()}
    return Outcome(result=document.get("result"), steps=steps)


def _failure_of(status: Mapping[str, Any]) -> Outcome:
    details = status.get("details", [])
    reason = next((detail["reason"] for detail in details if "reason" in detail), "")
    violations = [found for detail in details for found in detail.get("field_violations", [])]
    return Outcome(
        status=_CODES[int(status["code"])],
        reason=reason,
        message=status.get("message", ""),
        violations={found.get("field", ""): found["description"] for found in violations},
    )


_CODES = (
    *("OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS"),
    *("PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED"),
    *("INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"),
)
