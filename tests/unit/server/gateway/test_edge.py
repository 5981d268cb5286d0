"""What a running Envoy is given, and its word on it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.server.gateway.echo_server import RunningGateway, compile_echo

from promptflow_server.gateway.edge import Edge, EdgeError, Staged
from promptflow_server.gateway.twins import with_twins
from promptflow_server.gateway.xds import CONFIG_FILE, write_transcoder

RENAMED = "/api/v1/echo/stotus/x1"


def renamed() -> bytes:
    return compile_echo().replace(b"/api/v1/echo/status/", b"/api/v1/echo/stotus/")


@pytest.fixture
def edge(gateway: RunningGateway, tmp_path: Path) -> Edge:
    return Edge(tmp_path, gateway.admin.removeprefix("http://"))


async def test_what_was_put_is_served_when_put_returns(gateway: RunningGateway, edge: Edge) -> None:
    for _ in range(2):
        await edge.put(await edge.stage(renamed()))
        assert (await gateway.client.get(RENAMED)).is_success


async def test_what_envoy_refuses_is_told_and_the_old_is_served_on(gateway: RunningGateway, edge: Edge) -> None:
    staged = await edge.stage(renamed())
    config = staged.candidate.config.replace(b'"services": [', b'"services": ["no.Such",')
    spoilt = Staged(replace(staged.candidate, config=config))
    with pytest.raises(EdgeError, match="Envoy refused the new transcoder"):
        await edge.put(spoilt)
    assert (await gateway.client.get("/api/v1/echo/status/x1")).is_success
    await edge.put(staged)
    assert (await gateway.client.get(RENAMED)).is_success


async def test_where_no_envoy_answers_writing_is_all(tmp_path: Path, echo_descriptors: bytes) -> None:
    edge = Edge(tmp_path, "127.0.0.1:1")
    write_transcoder(with_twins(echo_descriptors), tmp_path)
    before = (tmp_path / CONFIG_FILE).read_bytes()
    await edge.put(await edge.stage(renamed()))
    assert (tmp_path / CONFIG_FILE).read_bytes() != before


async def test_an_edge_without_a_folder_only_judges(echo_descriptors: bytes) -> None:
    edge = Edge()
    await edge.put(await edge.stage(echo_descriptors))
    with pytest.raises(EdgeError):
        await edge.stage(echo_descriptors.replace(b"google/api/annotations.proto", b"google/api/annotations.prot_"))


async def test_what_is_only_judged_leaves_nothing_and_takes_nothing_from_what_is_served(
    tmp_path: Path, echo_descriptors: bytes
) -> None:
    edge = Edge(tmp_path)
    served = await edge.stage(echo_descriptors)
    await edge.put(served)
    before = sorted(tmp_path.iterdir())
    for descriptors in (renamed(), echo_descriptors):
        await edge.drop(await edge.stage(descriptors))
    await edge.drop(served)
    assert sorted(tmp_path.iterdir()) == before
    assert served.candidate.is_in_place


@pytest.mark.parametrize(
    "descriptors", [b"\xff\xff", b"\n\x0c\n\x01a\x1a\x07no/such"], ids=["rubbish", "an import that lacks"]
)
async def test_descriptors_that_do_not_hold_together_are_told(tmp_path: Path, descriptors: bytes) -> None:
    with pytest.raises(EdgeError, match="do not hold together"):
        await Edge(tmp_path).stage(descriptors)
    assert not any(tmp_path.iterdir())
