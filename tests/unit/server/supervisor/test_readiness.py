from __future__ import annotations

import asyncio

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from tests.unit.server.gateway.echo_server import free_ports

from promptflow_server.supervisor.readiness import grpc_serves, http_answers, worker_beats
from promptflow_workers.dispatch.link import Link
from promptflow_workers.dispatch.queue import Lease, Queue

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.mark.parametrize("is_ready", [True, False])
async def test_a_grpc_server_is_ready_when_its_health_service_says_so(is_ready: bool) -> None:
    server = grpc.aio.server()
    servicer = health.aio.HealthServicer()
    await servicer.set("", SERVING if is_ready else NOT_SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        assert await grpc_serves(f"127.0.0.1:{port}")(0) is is_ready
    finally:
        await server.stop(None)


async def test_a_port_where_nobody_listens_is_not_ready_and_raises_nothing() -> None:
    (port,) = free_ports(1)
    assert not await grpc_serves(f"127.0.0.1:{port}")(0)
    assert not await http_answers(f"http://127.0.0.1:{port}/")(0)


async def test_every_url_must_be_answered_with_success() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        status = b"200 OK" if b"GET /good " in request else b"503 Unavailable"
        writer.write(b"HTTP/1.1 " + status + b"\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        assert await http_answers(f"{base}/good")(0)
        assert not await http_answers(f"{base}/good", f"{base}/bad")(0)


async def test_another_process_lease_makes_no_worker_ready(link: Link, redis_url: str) -> None:
    await Queue(link, "stuck").beat("host-4242-abcd", 0, Lease())
    probe = worker_beats(redis_url, ["other", "stuck"])
    assert [await probe(pid) for pid in (4242, 42, 424)] == [True, False, False]


async def test_without_redis_no_worker_is_ready_and_nothing_is_raised() -> None:
    assert not await worker_beats(f"redis://127.0.0.1:{free_ports(1)[0]}/0", ["stuck"])(1)
