"""Cases through the Python client, over gRPC: to the server itself or through the gateway."""

from __future__ import annotations

import base64
import dataclasses
import importlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from tests.conformance.matching import duration
from tests.conformance.table import ROOT, Case, Outcome

from promptflow_client import (
    Done,
    Execution,
    File,
    ForEachStep,
    PromptFlowBase,
    PromptFlowError,
    Step,
)

TIMEOUT_S = 60.0


async def run_case(case: Case, promptflow: PromptFlowBase, timeout_s: float = TIMEOUT_S) -> Outcome:
    """Do what a case says with the generated client of its flow."""
    client = client_of(case.flow, case.version, promptflow)
    try:
        if case.call == "run":
            inputs = {attribute_of(name): native_of(value) for name, value in case.inputs.items()}
            events = client.stream(**inputs, timeout=timeout_s)
            return await _outcome_of(events)
        handle = client.handle(case.execution_id)
        if case.call == "watch":
            return await _outcome_of(handle.events(timeout=timeout_s))
        execution = await getattr(handle, case.call)(timeout=timeout_s)
        return outcome_of(execution)
    except PromptFlowError as error:
        return failure_of(error)


def client_of(flow: str, version: int, promptflow: PromptFlowBase) -> Any:
    """The client of a flow, found by name: a test's own flows are in no `PromptFlow` class."""
    module = importlib.import_module(f"promptflow_api.flows.{flow}.v{version}.client")
    return getattr(module, "".join(word.capitalize() for word in flow.split("_")) + "Client")(promptflow)


async def _outcome_of(events: Any) -> Outcome:
    last = None
    async for event in events:
        last = event
    assert isinstance(last, Done), f"the stream ended with {last}"
    if last.execution.error is not None:
        raise last.execution.error
    return outcome_of(last.execution)


def outcome_of(execution: Execution[Any, Any]) -> Outcome:
    """A run as an outcome."""
    steps: dict[str, str] = {}
    for field in dataclasses.fields(execution.steps):
        step: Step[Any] | ForEachStep[Any] = getattr(execution.steps, field.name)
        steps[field.name.removesuffix("_")] = str(step.state.status)
    result = None if execution.result is None else json_of(execution.result)
    return Outcome(result=result, steps=steps)


def failure_of(error: PromptFlowError) -> Outcome:
    """An error as an outcome."""
    return Outcome(
        status=error.code.name, reason=error.reason, message=error.message, violations=dict(error.violations)
    )


def native_of(value: Any) -> Any:
    """A tagged value of a case as the client takes it."""
    match value:
        case {"$file": path}:
            return ROOT / path
        case {"$content": content}:
            return File(content=base64.b64decode(content), name=value.get("name", ""))
        case {"$bytes": content}:
            return base64.b64decode(content)
        case {"$timestamp": text}:
            return datetime.fromisoformat(text)
        case {"$duration": text}:
            return duration(text)
        case {"$repeat": text, "times": times}:
            return text * times
        case dict():
            return {key: native_of(item) for key, item in value.items()}
        case list():
            return [native_of(item) for item in value]
        case _:
            return value


def json_of(value: Any) -> Any:
    """What the client gives as JSON writes it."""
    match value:
        case File():
            content = None if value.content is None else base64.b64encode(value.content).decode()
            return {**dataclasses.asdict(value), "content": content}
        case bytes():
            return base64.b64encode(value).decode()
        case datetime():
            return value.isoformat()
        case timedelta():
            return f"{value.total_seconds()}s"
        case tuple() | list():
            return [json_of(item) for item in value]
        case Mapping():
            return {key: json_of(item) for key, item in value.items()}
        case _ if dataclasses.is_dataclass(value):
            fields = ((field.name, getattr(value, field.name)) for field in dataclasses.fields(value))
            return {name.removesuffix("_"): json_of(item) for name, item in fields}
        case _:
            return value


def attribute_of(name: str) -> str:
    """An input as the client spells it."""
    reserved = ("timeout", "options", "self")
    return f"{name}_" if name in reserved else name
