"""Cases over HTTP, as curl sends them: a JSON body, or a form with files."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
from tests.conformance.table import ROOT, Case, Outcome


async def run_case(case: Case, http: httpx.AsyncClient) -> Outcome:
    """Do what a case says with a JSON body; `http` has the gateway as its base URL."""
    root, body = _root(case), _body(case.inputs, case.read_mask)
    match case.call:
        case "run":
            return _outcome_of(await http.post(f"{root}/execute", json={**body, "execution_mode": "SYNC"}))
        case "stream":
            return _outcome_of(await http.post(f"{root}/execute/stream", json=body))
        case "batch":
            batch = [{**_body(inputs, case.read_mask), "execution_mode": "SYNC"} for inputs in case.batch]
            return _batch_outcome(await http.post(f"{root}/execute/batch", json={"requests": batch}))
        case "plan":
            answer = await http.post(f"{root}/plan", json=body)
            return Outcome(result=answer.json()) if answer.status_code == 200 else _outcome_of(answer)
        case "flows":
            wanted = {"flow": case.flow, "version": case.version}
            return Outcome(result=await _listed(http, "flows", wanted))
        case "start":
            execution_id = await _started(case, http)
            return _outcome_of(await http.get(f"{root}/watch/{execution_id}"))
        case _:
            return await _outcome_of_handle(case, http)


async def _outcome_of_handle(case: Case, http: httpx.AsyncClient) -> Outcome:
    execution_id = case.execution_id
    if not execution_id:
        execution_id = await _started(case, http)
        await http.get(f"{_root(case)}/watch/{execution_id}")
    if case.call == "executions":
        wanted = {"execution_id": execution_id}
        of_flow = {"flow": case.flow, "version": str(case.version)}
        return Outcome(result=await _listed(http, "executions", wanted, of_flow))
    verb = "POST" if case.call == "cancel" else "GET"
    masked = {"read_mask": ",".join(case.read_mask)} if case.read_mask else {}
    return _outcome_of(await http.request(verb, f"{_root(case)}/{case.call}/{execution_id}", params=masked))


async def _started(case: Case, http: httpx.AsyncClient) -> str:
    body = {**_body(case.inputs, case.read_mask), "execution_mode": "ASYNC"}
    execution_id: str = (await http.post(f"{_root(case)}/execute", json=body)).json()["execution_id"]
    return execution_id


async def _listed(
    http: httpx.AsyncClient, what: str, wanted: Mapping[str, Any], query: Mapping[str, str] | None = None
) -> Mapping[str, Any]:
    """The entry that has what is wanted, looked for page after page."""
    token = ""
    while True:
        params = {**(query or {}), "page_size": "1", "page_token": token}
        page: dict[str, Any] = (await http.get(f"/api/v1/{what}", params=params)).json()
        entries: list[Mapping[str, Any]] = page.get(what, [])
        for entry in entries:
            if wanted.items() <= entry.items():
                return entry
        token = page.get("next_page_token", "")
        assert token, f"{wanted} is not among the {what}"


def _body(inputs: Mapping[str, Any], read_mask: Sequence[str]) -> dict[str, Any]:
    options = {"options": {"read_mask": ",".join(read_mask)}} if read_mask else {}
    return {**{name: json_of(value) for name, value in inputs.items()}, **options}


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
    return _outcome_of_execution(document[-1]["done"] if isinstance(document, list) else document)


def _outcome_of_execution(execution: Mapping[str, Any]) -> Outcome:
    if execution.get("error"):
        return _failure_of(execution["error"])
    steps = {name: step["state"]["status"] for name, step in execution.get("steps", {}).items() if "state" in step}
    return Outcome(result=execution.get("result"), steps=steps)


def _batch_outcome(answer: httpx.Response) -> Outcome:
    if answer.status_code != 200:
        return _outcome_of(answer)
    found: list[Mapping[str, Any]] = answer.json()["outcomes"]
    return Outcome(
        outcomes=tuple(
            _outcome_of_execution(each["execution"]) if "execution" in each else _failure_of(each["error"])
            for each in found
        )
    )


def _failure_of(status: Mapping[str, Any]) -> Outcome:
    details = status.get("details", [])
    reason = next((detail["reason"] for detail in details if "reason" in detail), "")
    violations = [found for detail in details for found in detail.get("field_violations", [])]
    return Outcome(
        status=_CODES[int(status["code"])],
        reason=reason,
        message=status.get("message", ""),
        step=next((detail["metadata"].get("step", "") for detail in details if "metadata" in detail), ""),
        violations={found.get("field", ""): found["description"] for found in violations},
    )


_CODES = (
    *("OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS"),
    *("PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED"),
    *("INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"),
)
