"""Every mistake of a request is told, and each of them once: a list's own rule beside that of an item."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from tests.unit.codegen.pipeline import check as checked
from tests.unit.codegen.pipeline import compile_flow

from promptflow_codegen.bundle import Bundle
from promptflow_codegen.lower import lower_flow
from promptflow_core.errors import FlowError, Reason
from promptflow_core.registry import ExecutorRegistry
from promptflow_server.services.contracts import Contracts, FlowContract
from promptflow_server.services.http_face.documents import DocumentReader
from promptflow_server.services.submission import Submission, check, read_submission

MAX_FILE_BYTES = 50

FLOW = """
name: rules
inputs:
  - {name: tags, type: "string[]", required: true, min_length: 2, max_length: 3, pattern: "^[a-z]{2}"}
  - {name: moments, type: "timestamp[]", max_length: 1}
  - {name: prices, type: map<number>, min_length: 2, min: 1}
  - {name: page, type: file, max_bytes: 20, accept: [image/png]}
  - {name: pages, type: "file[]", max_bytes: 60, max_length: 1}
  - {name: extras, type: "json[]", min_length: 2}
  - name: people
    type: object[]
    max_length: 1
    fields:
      - {name: name, type: string, required: true}
      - {name: tags, type: "string[]", max_length: 1}
steps:
  - {name: x, executor: transform, config: {value: "{{ inputs.tags }}", type: json}}
"""
SIZE_20, SIZE_50 = "the file is larger than 20 bytes; send a smaller one", "the file is larger than 50 bytes"
MANY: list[Any] = ["ab"] * 3


@pytest.fixture(scope="module")
def contract() -> FlowContract:
    catalog = ExecutorRegistry.load().catalog()
    plan = lower_flow(checked(FLOW, catalog))
    found = Contracts.of(Bundle.of(compile_flow(FLOW, catalog).SerializeToString(), (plan,))).of_flow("rules", 1)
    assert found is not None
    return found


def told(submission: Submission, contract: FlowContract) -> tuple[dict[str, str], Reason]:
    """What a caller reads of each field; no field has two mistakes."""
    with pytest.raises(FlowError) as caught:
        check(submission, contract, MAX_FILE_BYTES)
    violations = caught.value.record.violations
    assert len({violation.field for violation in violations}) == len(violations), violations
    return {violation.field: violation.description for violation in violations}, caught.value.record.reason


JSON: Mapping[str, tuple[dict[str, Any], dict[str, str]]] = {
    "an item and its list": (
        {"tags": [*MANY, 5]},
        {"tags[3]": "must be text", "tags": "must contain no more than 3 item(s)"},
    ),
    "an item of a list that is long enough": ({"tags": ["ab", 5]}, {"tags[1]": "must be text"}),
    "an item, another item and their list": (
        {"tags": [5]},
        {"tags[0]": "must be text", "tags": "must contain at least 2 item(s)"},
    ),
    "items of two kinds": (
        {"tags": ["a", 5]},
        {"tags[0]": "does not match regex pattern", "tags[1]": "must be text"},
    ),
    "no list": ({"tags": 5}, {"tags": "must be a list"}),
    "an entry of a map": ({"tags": MANY, "prices": {"a": "x", "b": 2}}, {"prices[a]": "must be a number"}),
    "an entry of a map, and the map": (
        {"tags": MANY, "prices": {"a": "x"}},
        {"prices[a]": "must be a number", "prices": "map must be at least 2 entries"},
    ),
    "a field in an item, and the list": (
        {"tags": MANY, "people": [{"name": 5}, {"name": "Ada", "tags": ["a", 1]}]},
        {
            "people[0].name": "must be text",
            "people[1].tags[1]": "must be text",
            "people": "must contain no more than 1 item(s)",
            "people[1].tags": "must contain no more than 1 item(s)",
        },
    ),
    "an item that is no object": ({"tags": MANY, "people": [5]}, {"people[0]": "must be an object"}),
    "a file that is none, and its list": (
        {"tags": MANY, "pages": [5, {"content": "YQ=="}]},
        {"pages[0]": "must be a file", "pages": "must contain no more than 1 item(s)"},
    ),
    "a document that protobuf does not hold": (
        {"tags": MANY, "extras": [1, 10**400, 3]},
        {"extras[1]": "must be a number that a double holds"},
    ),
    "more mistakes than are told": (
        {"tags": [5] * 200},
        {f"tags[{place}]": "must be text" for place in range(100)},
    ),
}


@pytest.mark.parametrize("name", JSON)
def test_what_a_document_gets_wrong(name: str, contract: FlowContract) -> None:
    document, expected = JSON[name]
    found, _ = told(DocumentReader(contract).read(document), contract)
    assert {field: text[: len(expected.get(field, ""))] for field, text in found.items()} == expected


MESSAGES: Mapping[str, tuple[dict[str, Any], dict[str, str], Reason]] = {
    "a file too large for its input": (
        {"page": {"content": b"x" * 21, "content_type": "image/png"}},
        {"page": SIZE_20},
        Reason.FILE_TOO_LARGE,
    ),
    "a file too large for the server": (
        {"pages": [{"content": b"x" * 51}]},
        {"pages[0]": SIZE_50},
        Reason.FILE_TOO_LARGE,
    ),
    "a file too large for both": ({"pages": [{"content": b"x" * 61}]}, {"pages[0]": SIZE_50}, Reason.FILE_TOO_LARGE),
    "a file too large, and another mistake": (
        {"page": {"content": b"x" * 21, "content_type": "image/png"}, "tags": ["ab"]},
        {"page": SIZE_20, "tags": "must contain at least 2 item(s)"},
        Reason.INVALID_INPUT,
    ),
    "an item without native form, and its list": (
        {"moments": [{"seconds": 1}, {"seconds": 2**60}]},
        {"moments[1]": "Timestamp", "moments": "must contain no more than 1 item(s)"},
        Reason.INVALID_INPUT,
    ),
}


@pytest.mark.parametrize("name", MESSAGES)
def test_what_a_message_gets_wrong(name: str, contract: FlowContract) -> None:
    fields, expected, reason = MESSAGES[name]
    request = contract.execute_request(**{"tags": MANY, **fields})
    found, told_reason = told(read_submission(contract, request.SerializeToString()), contract)
    assert {field: text[: len(expected.get(field, ""))] for field, text in found.items()} == expected
    assert told_reason is reason
