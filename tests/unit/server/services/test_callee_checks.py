"""What a step gives to the flow that it runs is held against the same annotations as a caller's request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from tests.unit.codegen.pipeline import check, compile_flow

from promptflow_codegen.bundle import Bundle
from promptflow_codegen.lower import lower_flow
from promptflow_core.registry import ExecutorRegistry
from promptflow_core.values import FileRef
from promptflow_server.services.callee_checks import CalleeChecks
from promptflow_server.services.contracts import Contracts, FlowContract

FLOW = """
name: clean
inputs:
  - {name: text, type: string, required: true, min_length: 2, pattern: "^[a-z]+$"}
  - {name: count, type: integer, min: 1, max: 9}
  - {name: page, type: file, max_bytes: 100}
  - {name: extra, type: json}
steps:
  - {name: x, executor: transform, config: {value: "{{ inputs.text }}", type: string}}
outputs:
  text: "{{ steps.x.value }}"
"""
PAGE = FileRef("run/page", "image/png", "page.png", 100)


@pytest.fixture(scope="module")
def contract() -> FlowContract:
    catalog = ExecutorRegistry.load().catalog()
    plan = lower_flow(check(FLOW, catalog))
    files = compile_flow(FLOW, catalog)
    found = Contracts.of(Bundle.of(files.SerializeToString(), (plan,))).of_flow("clean", 1)
    assert found is not None
    return found


CASES: Mapping[str, tuple[Mapping[str, Any], set[str]]] = {
    "all is well": ({"text": "ab", "count": 1, "page": PAGE, "extra": {"a": [1]}}, set()),
    "nothing is there": ({}, {"text"}),
    "everything is out of bounds": ({"text": "A", "count": 10}, {"text", "count"}),
    "a file is too large": ({"text": "ab", "page": FileRef("run/page", size_bytes=101)}, {"page"}),
    "a document is no JSON": ({"text": "ab", "extra": float("nan")}, {"extra"}),
}


@pytest.mark.parametrize("name", CASES)
async def test_the_same_holds_as_for_a_caller(name: str, contract: FlowContract) -> None:
    async def contract_of(digest: str, flow: str, version: int) -> FlowContract:
        assert (digest, flow, version) == ("d", "clean", 1)
        return contract

    inputs, fields = CASES[name]
    find = await CalleeChecks(contract_of, max_file_bytes=1000).find("d", "clean", 1)
    assert {violation.field for violation in find(inputs)} == fields
