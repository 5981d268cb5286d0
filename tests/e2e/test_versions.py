"""Two major versions of one flow, served side by side by everything that serves."""

from __future__ import annotations

import importlib
from typing import Any

import grpc
import httpx
import pytest
from tests.conformance.python_runner import client_of
from tests.e2e.system import System

from promptflow_client import Handle, NotFoundError, PromptFlowBase

pytestmark = [pytest.mark.processes, pytest.mark.timeout(60)]

VERSIONS: dict[int, tuple[dict[str, Any], dict[str, Any]]] = {
    1: ({"who": "Ann"}, {"greeting": "Hello Ann"}),
    2: ({"who": 7}, {"number": "7"}),
}


def target(system: System, way: str) -> str:
    return system.edge if way == "gateway" else system.grpc


@pytest.mark.parametrize("way", ["server", "gateway"])
async def test_one_client_calls_both(system: System, way: str) -> None:
    async with PromptFlowBase(target(system, way)) as promptflow:
        first, second = client_of("twofold", 1, promptflow), client_of("twofold", 2, promptflow)
        assert (await first.run(who="Ann")).greeting == "Hello Ann"
        assert (await second.run(who=7)).number == 7


async def test_the_index_of_clients_has_both(system: System) -> None:
    index = (
        importlib.import_module("promptflow_api.flows.twofold.v1.client"),
        importlib.import_module("promptflow_api.flows.twofold.v2.client"),
    )
    text = (system.project / "clients" / "python" / "promptflow_api" / "client.py").read_text("utf-8")
    assert {module.__name__.split(".")[-2] for module in index} == {"v1", "v2"}
    assert "def twofold(self) -> _twofold_v2.TwofoldClient:" in text
    assert "def twofold_v1(self) -> _twofold_v1.TwofoldClient:" in text


@pytest.mark.parametrize("way", ["server", "gateway"])
async def test_runs_of_one_are_unknown_to_the_other(system: System, way: str) -> None:
    async with PromptFlowBase(target(system, way)) as promptflow:
        clients = {version: client_of("twofold", version, promptflow) for version in VERSIONS}
        for version, other in ((1, 2), (2, 1)):
            handle: Handle[Any, Any, Any] = await clients[version].start(**VERSIONS[version][0])
            await handle.result()
            stranger = clients[other].handle(handle.execution_id)
            with pytest.raises(NotFoundError):
                await stranger.status()
            with pytest.raises(NotFoundError):
                await stranger.cancel()
            with pytest.raises(NotFoundError):
                await anext(stranger.events())
            assert (await handle.status()).result == await handle.result()


@pytest.mark.parametrize("version", VERSIONS)
async def test_each_has_paths_of_its_own(system: System, version: int) -> None:
    inputs, result = VERSIONS[version]
    async with httpx.AsyncClient(base_url=system.http, timeout=20) as http:
        body = {**inputs, "execution_mode": "SYNC"}
        answer = await http.post(f"/api/v{version}/twofold/execute", json=body)
        assert (answer.status_code, answer.json()["result"]) == (200, result)
        execution_id = answer.json()["execution_id"]
        statuses = [(await http.get(f"/api/v{each}/twofold/status/{execution_id}")).status_code for each in (1, 2)]
        assert statuses == [200 if each == version else 404 for each in (1, 2)]
        streamed = await http.post(f"/api/v{version}/twofold/execute/stream", json=inputs)
        assert streamed.status_code == 200
        wrong = await http.post(f"/api/v{version}/twofold/execute", json={"who": VERSIONS[3 - version][0]["who"]})
        assert wrong.status_code == 400
        assert (await http.post("/api/v3/twofold/execute", json=inputs)).status_code == 404


async def test_a_version_that_never_was_is_unimplemented(system: System) -> None:
    async with grpc.aio.insecure_channel(system.grpc) as channel:
        call: Any = channel.unary_unary("/promptflow_api.flows.twofold.v3.TwofoldService/Execute")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(b"", timeout=10)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
