"""Cases through the blocking Python client; the async one's runner says what values and outcomes are."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from tests.conformance.python_runner import (
    TIMEOUT_S,
    batch_outcome,
    failure_of,
    inputs_of,
    is_of,
    is_run,
    json_of,
    outcome_of,
)
from tests.conformance.table import Case, Outcome

from promptflow_client import Done, Options, PromptFlowError
from promptflow_client.sync import PromptFlowBase, Stream


def run_case(case: Case, promptflow: PromptFlowBase, timeout_s: float = TIMEOUT_S) -> Outcome:
    """Do what a case says with the generated client of its flow."""
    try:
        return _outcome_of(case, client_of(case.flow, case.version, promptflow), promptflow, timeout_s)
    except PromptFlowError as error:
        return failure_of(error)


def client_of(flow: str, version: int, promptflow: PromptFlowBase) -> Any:
    """The client of a flow, found by name: a test's own flows are in no `PromptFlow` class."""
    module = importlib.import_module(f"promptflow_api.flows.{flow}.v{version}.sync")
    return getattr(module, "".join(word.capitalize() for word in flow.split("_")) + "Client")(promptflow)


def _outcome_of(case: Case, client: Any, promptflow: PromptFlowBase, timeout: float) -> Outcome:
    inputs, options = inputs_of(case.inputs), Options(read_mask=case.read_mask)
    match case.call:
        case "run":
            return Outcome(result=json_of(client.run(**inputs, timeout=timeout, options=options)))
        case "stream":
            return _last_of(client.stream(**inputs, timeout=timeout, options=options))
        case "start":
            handle = client.start(**inputs, timeout=timeout, options=options)
            return Outcome(result=json_of(handle.result(timeout=timeout)))
        case "batch":
            batch = [inputs_of(each) for each in case.batch]
            return batch_outcome(client.run_batch(batch, timeout=timeout, options=options))
        case "plan":
            return Outcome(result=json_of(client.plan(**inputs, timeout=timeout)))
        case "flows":
            with promptflow.flows(page_size=1, timeout=timeout) as flows:
                return Outcome(result=next(json_of(each) for each in flows if is_of(case, each)))
    return _outcome_of_handle(case, client, timeout)


def _outcome_of_handle(case: Case, client: Any, timeout: float) -> Outcome:
    handle = client.handle(case.execution_id or _ended(client, inputs_of(case.inputs), timeout))
    match case.call:
        case "executions":
            with client.executions(page_size=1, timeout=timeout) as runs:
                return Outcome(result=next(json_of(each) for each in runs if is_run(each, handle)))
        case "watch":
            return _last_of(handle.events(read_mask=case.read_mask, timeout=timeout))
        case "status":
            return outcome_of(handle.status(read_mask=case.read_mask, timeout=timeout))
        case _:
            return outcome_of(handle.cancel(timeout=timeout))


def _ended(client: Any, inputs: Mapping[str, Any], timeout: float) -> str:
    handle = client.start(**inputs, timeout=timeout)
    with suppress(PromptFlowError):
        handle.result(timeout=timeout)
    execution_id: str = handle.execution_id
    return execution_id


def _last_of(events: Stream[Any]) -> Outcome:
    *_, last = events
    assert isinstance(last, Done), f"the stream ended with {last}"
    return outcome_of(last.execution)
