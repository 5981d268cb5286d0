"""What callers ask of the server rather than of a run: info, health, reflection."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.json_format import MessageToDict
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest, ServerReflectionResponse
from tests.contract.memory_engine import MemoryEngine
from tests.contract.serving import Server
from tests.unit.server.services.everything import PACKAGE

from promptflow_core.errors import FlowError, Reason
from promptflow_workers.dispatch.interface import QueueDepth


async def test_info_tells_the_flow_in_the_words_of_its_yaml(server: Server) -> None:
    info = await server.call("GetInfo", server.contract.get_info_request())
    assert (info.flow, info.version, info.bundle_digest) == ("everything", 1, server.contract.digest)
    definition = MessageToDict(info.definition)
    inputs = {field["name"]: field for field in definition["inputs"]}
    assert inputs["text"] == {"name": "text", "type": "string", "required": True}
    assert inputs["count"] == {"name": "count", "type": "integer", "default": 7}
    assert inputs["speeds"] == {"name": "speeds", "type": "enum[]", "values": ["fast", "Slow"]}
    assert inputs["pages"] == {"name": "pages", "type": "file[]", "max_bytes": 64}
    assert [field["name"] for field in inputs["people"]["fields"]] == ["name", "age"]
    inspect, label = definition["steps"]
    assert (inspect["queue"], label["for_each"], label["as"]) == ("general", "{{ inputs.tags }}", "item")
    assert label["needs"] == ["inspect"]


async def components(server: Server) -> dict[str, tuple[bool, str]]:
    health = await server.call("CheckHealth", server.contract.check_health_request())
    found = {component.name: (component.serving, component.message) for component in health.components}
    assert health.serving == all(serving for serving, _ in found.values())
    return found


async def test_health_asks_redis_and_each_pool_that_the_flow_needs(server: Server) -> None:
    assert await components(server) == {
        "redis": (True, ""),
        "queue/general": (True, ""),
        "queue/sentiment": (True, ""),
    }


async def test_health_names_the_pool_without_workers_and_what_to_do(server: Server) -> None:
    server.pools.depths["sentiment"] = QueueDepth(workers=0, waiting=3, oldest_ms=10)
    found = await components(server)
    assert found["queue/general"] == (True, "")
    assert found["queue/sentiment"] == (
        False,
        "no worker of the pool `sentiment` is alive and 3 calls wait; start one: `promptflow worker --queue sentiment`",
    )


async def test_health_answers_where_redis_does_not(server: Server) -> None:
    server.redis.problem = FlowError(Reason.STORE_UNAVAILABLE, "Redis does not answer")
    assert (await components(server))["redis"] == (False, "Redis does not answer")


async def reflect(server: Server, version: str, **request: Any) -> ServerReflectionResponse:
    call: Any = server.channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        ServerReflectionRequest.SerializeToString,
        ServerReflectionResponse.FromString,
    )(iter([ServerReflectionRequest(**request)]), timeout=5)
    responses: list[ServerReflectionResponse] = [response async for response in call]
    return responses[0]


@pytest.fixture(params=["v1", "v1alpha"])
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def test_reflection_lists_the_services_and_no_twin(server: Server, version: str) -> None:
    response = await reflect(server, version, list_services="")
    assert [service.name for service in response.list_services_response.service] == [
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
        f"{PACKAGE}.EverythingService",
        "promptflow_api.v1.ExecutionService",
        "promptflow_api.v1.FlowService",
    ]
    assert "ExecuteHttp" not in str(await describe(server, version, f"{PACKAGE}.EverythingService"))


@pytest.mark.parametrize(
    "symbol",
    [
        f"{PACKAGE}.EverythingService",
        f"{PACKAGE}.ExecuteRequest",
        "promptflow_api.v1.ExecutionService",
        "promptflow_api.v1.ErrorReason",
        "google.rpc.BadRequest",
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflectionRequest",
    ],
)
async def test_reflection_describes_what_it_lists_with_all_imports(server: Server, version: str, symbol: str) -> None:
    files = await describe(server, version, symbol)
    names = {file.name for file in files}
    assert all(name in names for file in files for name in file.dependency)
    package, _, name = symbol.rpartition(".")
    assert any(file.package == package and name in str(file) for file in files)


async def test_reflection_does_not_find_what_is_not_there(server: Server, version: str) -> None:
    response = await reflect(server, version, file_containing_symbol="acme.Nothing")
    assert response.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]


async def test_a_method_that_is_not_there_is_unimplemented(server: Server, engine: MemoryEngine) -> None:
    call: Any = server.channel.unary_unary(f"/{server.contract.service}/Explode")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(b"", timeout=5)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def describe(server: Server, version: str, symbol: str) -> list[FileDescriptorProto]:
    response = await reflect(server, version, file_containing_symbol=symbol)
    data = response.file_descriptor_response.file_descriptor_proto
    return [FileDescriptorProto.FromString(file) for file in data]
