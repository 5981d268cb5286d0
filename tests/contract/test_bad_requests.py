"""Requests that cannot be: every mistake at once, in terms of the flow's inputs, and nothing half done."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from tests.contract.memory_engine import MemoryEngine
from tests.contract.serving import MAX_FILE_BYTES, CallError, Server
from tests.unit.server.services.everything import MAX_PAGE_BYTES

REQUIRED = "value is required"
SEND = "send the bytes as `content`"

Fields = dict[str, Any]
DEEP: Any = {"number_value": 1}
for _ in range(30):
    DEEP = {"list_value": {"values": [DEEP]}}
TOO_LARGE = {"content": b"x" * (MAX_FILE_BYTES + 1)}
TOO_LARGE_A_PAGE = {"content": b"x" * (MAX_PAGE_BYTES + 1)}
TIMEOUT = "must be a duration above 0"

# What is wrong, what is told of it; `text` is given in all but the first two.
CASES: dict[str, tuple[Fields, dict[str, str]]] = {
    "a missing input": ({"text": None}, {"text": REQUIRED}),
    "several at once": (
        {"text": None, "count": 2000, "tags": ["ab", "c"], "reviewers": [{"age": -1}]},
        {
            "text": REQUIRED,
            "count": "must be less than",
            "tags[1]": "must be at least 2 characters",
            "reviewers[0].name": REQUIRED,
            "reviewers[0].age": "must be greater than",
        },
    ),
    "an enum without value": ({"speed": 0}, {"speed": "must not be in"}),
    "an enum of no value": ({"speed": 9}, {"speed": "must be one of"}),
    "a mode of no value": ({"execution_mode": 9}, {"execution_mode": "must be one of"}),
    "a map's value": ({"people": {"x": {}}}, {"people[x].name": REQUIRED}),
    "a time out of range": ({"at": {"seconds": 2**60}}, {"at": "Timestamp"}),
    "NaN in json": ({"extra": {"number_value": float("nan")}}, {"extra": "nan is no JSON number"}),
    "endless json": ({"extra": DEEP}, {"extra" + "[0]" * 25: "nests deeper than 24 levels"}),
    "an empty file": ({"document": {"content": b""}}, {"document": SEND}),
    "a file of nothing": ({"document": {}}, {"document": SEND}),
    "a file elsewhere": ({"document": {"uri": "http://a"}}, {"document": "`uri` is not supported yet"}),
    "a file by id": ({"document": {"file_id": "a/b"}}, {"document": "`file_id` is not supported yet"}),
    "a file too large": ({"document": TOO_LARGE}, {"document": f"larger than {MAX_FILE_BYTES} bytes"}),
    "one of several files": (
        {"pages": [{"content": b"x"}, TOO_LARGE_A_PAGE]},
        {"pages[1]": f"larger than {MAX_PAGE_BYTES} bytes"},
    ),
    "no timeout": ({"options": {"timeout": {"seconds": 0}}}, {"options.timeout": TIMEOUT}),
    "a negative timeout": ({"options": {"timeout": {"seconds": -1}}}, {"options.timeout": TIMEOUT}),
    "an endless timeout": ({"options": {"timeout": {"seconds": 2**60}}}, {"options.timeout": TIMEOUT}),
    "a mask of nothing": (
        {"options": {"read_mask": {"paths": ["staus"]}}},
        {"options.read_mask": "`staus` is no field"},
    ),
    "a long request id": ({"options": {"request_id": "x" * 129}}, {"options.request_id": "takes at most"}),
    "many labels": (
        {"options": {"labels": {str(number): "" for number in range(33)}}},
        {"options.labels": "takes at most"},
    ),
}


@pytest.mark.parametrize(("fields", "expected"), CASES.values(), ids=CASES.keys())
async def test_every_violation_is_told_and_nothing_starts(
    server: Server, engine: MemoryEngine, fields: Fields, expected: dict[str, str]
) -> None:
    request = server.contract.execute_request(**{"text": "ok", **fields})
    for method in ("Execute", "ExecuteStream"):
        with pytest.raises(CallError) as caught:
            if method == "Execute":
                await server.call(method, request)
            else:
                _ = [event async for event in server.stream(method, request)]
        assert caught.value.code is grpc.StatusCode.INVALID_ARGUMENT
        assert caught.value.violations.keys() == expected.keys()
        for field, told in expected.items():
            assert told in caught.value.violations[field]
    assert not engine.runs
    assert not server.stored_files()


async def test_only_a_file_that_is_too_large_is_called_so(server: Server) -> None:
    reasons = []
    for fields in ({"text": "ok"}, {}):
        with pytest.raises(CallError) as caught:
            await server.call("Execute", server.contract.execute_request(document=TOO_LARGE, **fields))
        reasons.append(caught.value.info.reason)
    assert reasons == ["FILE_TOO_LARGE", "INVALID_INPUT"]


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"\x0a\x02ok\xa2\x1f\x01x", "no input 500"),
        (b"\x08\x05\x0a\x02ok", "no input 1 of this type"),
    ],
    ids=["unknown", "mistyped"],
)
async def test_a_field_that_the_flow_does_not_have_is_not_dropped(
    server: Server, engine: MemoryEngine, data: bytes, told: str
) -> None:
    with pytest.raises(CallError) as caught:
        await server.call("Execute", data)
    assert caught.value.info.reason == "INVALID_INPUT"
    assert told in caught.value.message
    assert not engine.runs


@pytest.mark.parametrize(
    "given_up", [b"\xa2\x01\x01x", b"\xa8\x01\x05", b"\x72\x08\x0a\x03Ada\x1a\x01A"], ids=["text", "number", "inside"]
)
async def test_a_client_of_an_earlier_version_may_send_what_the_flow_has_given_up(
    server: Server, engine: MemoryEngine, given_up: bytes
) -> None:
    execution = await server.call("Execute", b"\x0a\x02ok" + given_up)
    assert engine.runs[execution.execution_id].record.inputs["text"] == "ok"


@pytest.mark.parametrize("method", ["Execute", "GetStatus", "Cancel", "GetInfo", "CheckHealth"])
async def test_bytes_that_are_no_message_are_malformed(server: Server, method: str) -> None:
    with pytest.raises(CallError) as caught:
        await server.call(method, b"\xff\xff\xff")
    assert caught.value.code is grpc.StatusCode.INVALID_ARGUMENT
    assert caught.value.info.reason == "MALFORMED_REQUEST"


@pytest.mark.parametrize(
    ("method", "fields", "field"),
    [
        ("GetStatus", {}, "execution_id"),
        ("Cancel", {}, "execution_id"),
        ("Watch", {"after_sequence": -1}, "after_sequence"),
        ("GetStatus", {"execution_id": "x", "read_mask": {"paths": ["nothing"]}}, "read_mask"),
    ],
)
async def test_other_requests_are_checked_too(server: Server, method: str, fields: dict[str, Any], field: str) -> None:
    classes = {
        "GetStatus": server.contract.get_status_request,
        "Cancel": server.contract.cancel_request,
        "Watch": server.contract.watch_request,
    }
    with pytest.raises(CallError) as caught:
        request = classes[method](**fields)
        if method == "Watch":
            _ = [event async for event in server.stream(method, request)]
        else:
            await server.call(method, request)
    assert caught.value.info.reason == "INVALID_INPUT"
    assert field in caught.value.violations
