"""Cases through the Python client, over gRPC: to the server itself or through the gateway."""

from __future__ import annotations

import base64
import dataclasses
import importlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from tests.conformance.matching import duration
from tests.conformance.table import ROOT, Case, Outcome

from promptflow_client import (
    Done,
    Execution,
    ExecutionSummary,
    File,
    FlowSummary,
    ForEachStep,
    Options,
    PromptFlowBase,
    PromptFlowError,
    Step,
)

TIMEOUT_S = 60.0


async def run_case(case: Case, promptflow: PromptFlowBase, timeout_s: float = TIMEOUT_S) -> Outcome:
    """Do what a case says with the generated client of its flow."""
    try:
        return await _outcome_of(case, client_of(case.flow, case.version, promptflow), promptflow, timeout_s)
    except PromptFlowError as error:
        return failure_of(error)


async def _outcome_of(case: Case, client: Any, promptflow: PromptFlowBase, timeout: float) -> Outcome:
    inputs, options = inputs_of(case.inputs), Options(read_mask=case.read_mask)
    match case.call:
        case "run":
            return Outcome(result=json_of(await client.run(**inputs, timeout=timeout, options=options)))
        case "stream":
            return await _last_of(client.stream(**inputs, timeout=timeout, options=options))
        case "start":
            handle = await client.start(**inputs, timeout=timeout, options=options)
            return Outcome(result=json_of(await handle.result(timeout=timeout)))
        case "batch":
            batch = [inputs_of(each) for each in case.batch]
            return batch_outcome(await client.run_batch(batch, timeout=timeout, options=options))
        case "plan":
            return Outcome(result=json_of(await client.plan(**inputs, timeout=timeout)))
        case "flows":
            flows = promptflow.flows(page_size=1, timeout=timeout)
            return Outcome(result=await anext(json_of(each) async for each in flows if is_of(case, each)))
    return await _outcome_of_handle(case, client, timeout)


async def _outcome_of_handle(case: Case, client: Any, timeout: float) -> Outcome:
    handle = client.handle(case.execution_id or await _ended(client, inputs_of(case.inputs), timeout))
    match case.call:
        case "executions":
            runs = client.executions(page_size=1, timeout=timeout)
            return Outcome(result=await anext(json_of(each) async for each in runs if is_run(each, handle)))
        case "watch":
            return await _last_of(handle.events(read_mask=case.read_mask, timeout=timeout))
        case "status":
            return outcome_of(await handle.status(read_mask=case.read_mask, timeout=timeout))
        case _:
            return outcome_of(await handle.cancel(timeout=timeout))


async def _ended(client: Any, inputs: Mapping[str, Any], timeout: float) -> str:
    handle = await client.start(**inputs, timeout=timeout)
    with suppress(PromptFlowError):
        await handle.result(timeout=timeout)
    execution_id: str = handle.execution_id
    return execution_id


def client_of(flow: str, version: int, promptflow: PromptFlowBase) -> Any:
    """The client of a flow, found by name: a test's own flows are in no `PromptFlow` class."""
    module = importlib.import_module(f"promptflow_api.flows.{flow}.v{version}.client")
    return getattr(module, "".join(word.capitalize() for word in flow.split("_")) + "Client")(promptflow)


async def _last_of(events: Any) -> Outcome:
    last = None
    async for event in events:
        last = event
    assert isinstance(last, Done), f"the stream ended with {last}"
    return outcome_of(last.execution)


def inputs_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """Tagged inputs of a case as the client takes them."""
    return {attribute_of(name): native_of(value) for name, value in values.items()}


def is_of(case: Case, flow: FlowSummary) -> bool:
    """Whether it is the flow of the case."""
    return (flow.flow, flow.version) == (case.flow, case.version)


def is_run(execution: ExecutionSummary, handle: Any) -> bool:
    """Whether it is the run of the handle."""
    same: bool = execution.execution_id == handle.execution_id
    return same


def batch_outcome(found: Sequence[Any]) -> Outcome:
    """What became of each run of a batch."""
    outcomes = (failure_of(one) if isinstance(one, PromptFlowError) else Outcome(result=json_of(one)) for one in found)
    return Outcome(outcomes=tuple(outcomes))


def outcome_of(execution: Execution[Any, Any]) -> Outcome:
    """A run as an outcome.

    Raises:
        PromptFlowError: that of the run.
    """
    if execution.error is not None:
        raise execution.error
    steps: dict[str, str] = {}
    for field in dataclasses.fields(execution.steps):
        step: Step[Any] | ForEachStep[Any] = getattr(execution.steps, field.name)
        steps[field.name.removesuffix("_")] = str(step.state.status)
    result = None if execution.result is None else json_of(execution.result)
    return Outcome(result=result, steps=steps)


def failure_of(error: PromptFlowError) -> Outcome:
    """An error as an outcome."""
    return Outcome(
        status=error.code.name,
        reason=error.reason,
        message=error.message,
        step=error.step,
        violations=dict(error.violations),
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
        case StrEnum():
            return str(value)
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
