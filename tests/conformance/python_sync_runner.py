"""Cases through the blocking Python client; the async one's runner says what values and outcomes are."""

from __future__ import annotations

import importlib
from typing import Any

from tests.conformance.python_runner import TIMEOUT_S, attribute_of, failure_of, native_of, outcome_of
from tests.conformance.table import Case, Outcome

from promptflow_client import Done, PromptFlowError
from promptflow_client.sync import PromptFlowBase, Stream


def run_case(case: Case, promptflow: PromptFlowBase, timeout_s: float = TIMEOUT_S) -> Outcome:
    """Do what a case says with the generated client of its flow."""
    client = client_of(case.flow, case.version, promptflow)
    try:
        if case.call == "run":
            inputs = {attribute_of(name): native_of(value) for name, value in case.inputs.items()}
            return _outcome_of(client.stream(**inputs, timeout=timeout_s))
        handle = client.handle(case.execution_id)
        if case.call == "watch":
            return _outcome_of(handle.events(timeout=timeout_s))
        return outcome_of(getattr(handle, case.call)(timeout=timeout_s))
    except PromptFlowError as error:
        return failure_of(error)


def client_of(flow: str, version: int, promptflow: PromptFlowBase) -> Any:
    """The client of a flow, found by name: a test's own flows are in no `PromptFlow` class."""
    module = importlib.import_module(f"promptflow_api.flows.{flow}.v{version}.sync")
    return getattr(module, "".join(word.capitalize() for word in flow.split("_")) + "Client")(promptflow)


def _outcome_of(events: Stream[Any]) -> Outcome:
    *_, last = events
    assert isinstance(last, Done), f"the stream ended with {last}"
    if last.execution.error is not None:
        raise last.execution.error
    return outcome_of(last.execution)
