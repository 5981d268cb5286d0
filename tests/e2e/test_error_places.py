"""Where a run failed is told over every transport: flow file, line, step, item and attempt, in the same words."""

from __future__ import annotations

import base64
import importlib
import json
import struct
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import httpx
import pytest
from google.protobuf.json_format import MessageToDict
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]
from tests.e2e.system import System

pytestmark = [pytest.mark.processes, pytest.mark.timeout(60)]

FLOW, PATH = "places", "/api/v1/places"
SOURCE = "flows/places.yaml"
assert error_details_pb2  # so that details are known by type

PLACES: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "an item that fails": (
        {"failures": [0, 9]},
        {"reason": "EXECUTOR_FAILED", "step": "each", "line": "9", "item": "1", "attempt": "2"},
    ),
    "a template that fails": (
        {"divisor": 0},
        {"reason": "TEMPLATE_FAILED", "step": "divide", "line": "14", "attempt": "1"},
    ),
    "outputs that fail": ({"index": 5}, {"reason": "TEMPLATE_FAILED", "line": "19", "template": "outputs.attempt"}),
}


def messages() -> Any:
    """The generated messages of the flow; they are there once the system runs."""
    return importlib.import_module(f"promptflow_api.flows.{FLOW}.v1.{FLOW}_pb2")


def request_of(inputs: dict[str, Any], mode: str = "SYNC") -> Any:
    return messages().ExecuteRequest(**inputs, execution_mode=mode)


def raw(target: str, method: str, request: Any, answer: Any) -> Any:
    """A unary gRPC call."""
    service = messages().DESCRIPTOR.services_by_name["PlacesService"].full_name
    with grpc.insecure_channel(target) as channel:
        call: Any = channel.unary_unary(f"/{service}/{method}")
        return answer.FromString(call(request.SerializeToString(), timeout=20))


def grpc_error(target: str, inputs: dict[str, Any]) -> dict[str, Any]:
    """The details of a failed Execute."""
    with pytest.raises(grpc.RpcError) as caught:
        raw(target, "Execute", request_of(inputs), messages().Execution)
    trailers: Any = caught.value
    found = dict(trailers.trailing_metadata())["grpc-status-details-bin"]
    return as_json(status_pb2.Status.FromString(found))


def as_json(message: Any) -> dict[str, Any]:
    document: dict[str, Any] = MessageToDict(message, preserving_proto_field_name=True)
    return document


def by_grpc(system: System, inputs: dict[str, Any]) -> list[Any]:
    return [grpc_error(system.grpc, inputs)]


def by_the_edge(system: System, inputs: dict[str, Any]) -> list[Any]:
    return [grpc_error(system.edge, inputs)]


def by_grpc_events(system: System, inputs: dict[str, Any]) -> list[Any]:
    service = messages().DESCRIPTOR.services_by_name["PlacesService"].full_name
    with grpc.insecure_channel(system.grpc) as channel:
        call: Any = channel.unary_stream(f"/{service}/ExecuteStream")
        data = list(call(request_of(inputs).SerializeToString(), timeout=20))
    return errors_in([as_json(messages().Event.FromString(event)) for event in data])


def by_grpc_status(system: System, inputs: dict[str, Any]) -> list[Any]:
    (error,) = by_rest(system, inputs)
    name = info_of(error)["execution_id"]
    execution = raw(system.grpc, "GetStatus", messages().GetStatusRequest(execution_id=name), messages().Execution)
    return [as_json(execution)["error"]]


def by_grpc_batch(system: System, inputs: dict[str, Any]) -> list[Any]:
    batch = messages().BatchExecuteRequest(requests=[request_of({}), request_of(inputs)])
    good, bad = raw(system.grpc, "BatchExecute", batch, messages().BatchExecuteResponse).outcomes
    assert good.execution.result.attempt == 1
    return [as_json(bad.error)]


def by_rest(system: System, inputs: dict[str, Any]) -> list[Any]:
    answer = httpx.post(f"{system.http}{PATH}/execute", json={**inputs, "execution_mode": "SYNC"}, timeout=20)
    assert answer.status_code >= 400, answer.text
    return [answer.json()]


def by_rest_status(system: System, inputs: dict[str, Any]) -> list[Any]:
    (error,) = by_rest(system, inputs)
    execution = httpx.get(f"{system.http}{PATH}/status/{info_of(error)['execution_id']}", timeout=20).json()
    failed = [step["state"]["error"] for step in execution["steps"].values() if step["state"].get("error")]
    return [execution["error"], *failed]


def by_rest_batch(system: System, inputs: dict[str, Any]) -> list[Any]:
    body = {"requests": [{"execution_mode": "SYNC"}, {**inputs, "execution_mode": "SYNC"}]}
    answer = httpx.post(f"{system.http}{PATH}/execute/batch", json=body, timeout=20)
    good, bad = answer.json()["outcomes"]
    assert good["execution"]["result"] == {"attempt": "1"}
    return [bad["error"]]


def by_list(system: System, inputs: dict[str, Any]) -> list[Any]:
    (error,) = by_rest(system, inputs)
    name = info_of(error)["execution_id"]
    query = {"flow": FLOW, "statuses": "FAILED"}
    page = httpx.get(f"{system.http}/api/v1/executions", params=query, timeout=20).json()
    (run,) = (run for run in page["executions"] if run["execution_id"] == name)
    assert run["metadata"]["labels"] == {"team": "tests"}
    return [run["error"]]


def by_sse(system: System, inputs: dict[str, Any]) -> list[Any]:
    return errors_in(lines_of(system, inputs, "text/event-stream"))


def by_ndjson(system: System, inputs: dict[str, Any]) -> list[Any]:
    return errors_in(lines_of(system, inputs, "application/x-ndjson"))


def by_grpc_web(system: System, inputs: dict[str, Any]) -> list[Any]:
    service = messages().DESCRIPTOR.services_by_name["PlacesService"].full_name
    data = request_of(inputs).SerializeToString()
    headers = {"content-type": "application/grpc-web+proto", "x-grpc-web": "1"}
    frame = struct.pack(">BI", 0, len(data)) + data
    answer = httpx.post(f"{system.http}/{service}/Execute", content=frame, headers=headers, timeout=20)
    trailers = {**answer.headers, **dict(trailers_in(answer.content))}
    text = trailers["grpc-status-details-bin"]
    return [as_json(status_pb2.Status.FromString(base64.b64decode(text + "=" * (-len(text) % 4))))]


def lines_of(system: System, inputs: dict[str, Any], accept: str) -> list[dict[str, Any]]:
    answer = httpx.post(f"{system.http}{PATH}/execute/stream", json=inputs, headers={"accept": accept}, timeout=20)
    lines = (line.removeprefix("data: ") for line in answer.text.splitlines())
    return [json.loads(line) for line in lines if line.startswith("{")]


def errors_in(events: list[dict[str, Any]]) -> list[Any]:
    """The errors that events tell: of each step that failed, and of the run."""
    told = [event["step_failed"]["error"] for event in events if "step_failed" in event]
    return [*told, events[-1]["done"]["error"]]


def trailers_in(body: bytes) -> Iterator[tuple[str, str]]:
    while body:
        flag, size = struct.unpack_from(">BI", body)
        if flag & 0x80:
            for line in body[5 : 5 + size].decode().splitlines():
                key, _, value = line.partition(":")
                yield key, value.strip()
        body = body[5 + size :]


def info_of(status: dict[str, Any]) -> dict[str, str]:
    """Reason and metadata of a google.rpc.Status in JSON."""
    (info,) = (detail for detail in status["details"] if detail["@type"].endswith("google.rpc.ErrorInfo"))
    return {"reason": info["reason"], **info["metadata"]}


TRANSPORTS: list[Callable[[System, dict[str, Any]], list[Any]]] = [
    by_grpc,
    by_the_edge,
    by_grpc_events,
    by_grpc_status,
    by_grpc_batch,
    by_rest,
    by_rest_status,
    by_rest_batch,
    by_list,
    by_sse,
    by_ndjson,
    by_grpc_web,
]


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("name", PLACES)
def test_a_failure_tells_its_place(
    system: System, transport: Callable[[System, dict[str, Any]], list[Any]], name: str
) -> None:
    inputs, expected = PLACES[name]
    for error in transport(system, inputs):
        told = info_of(error)
        assert told.pop("execution_id")
        assert {key: told.get(key) for key in expected} == expected
        assert (told["flow"], told["source"]) == (FLOW, SOURCE)
        assert set(told) <= {*expected, "flow", "source", "template"}
