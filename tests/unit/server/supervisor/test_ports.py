from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.unit.server.gateway.echo_server import free_ports

from promptflow_server.supervisor.ports import Ports, PortsTakenError, is_free, require_free


@contextmanager
def listening(host: str = "127.0.0.1") -> Iterator[int]:
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        server.bind((host, 0))
        server.listen()
        yield server.getsockname()[1]


def test_taken_ports_are_named_and_numbered_with_the_way_out() -> None:
    with listening() as gateway, listening() as metrics:
        grpc, admin = free_ports(2)
        with pytest.raises(PortsTakenError) as caught:
            require_free(Ports(gateway, grpc, admin, metrics))
    message = str(caught.value)
    assert f"2 ports are taken: {gateway} (gateway (REST, gRPC, SSE)), {metrics} (metrics)" in message
    assert re.search(r"\nhint: `--port-base \d+` moves them all", message)


def test_the_suggested_base_is_free() -> None:
    with listening() as gateway, pytest.raises(PortsTakenError) as caught:
        require_free(Ports(gateway, *free_ports(3)))
    (base,) = re.findall(r"--port-base (\d+)", str(caught.value))
    require_free(Ports.from_base(int(base)))


def test_without_the_gateway_its_ports_may_be_taken() -> None:
    with listening() as taken:
        require_free(Ports(taken, free_ports(1)[0], taken, taken), with_gateway=False)


def test_a_port_that_a_grpc_server_would_share_counts_as_taken() -> None:
    # gRPC binds with SO_REUSEPORT: two servers on one port would each get half of the calls.
    with listening() as port:
        assert not is_free(port)
    with listening("0.0.0.0") as port:
        assert not is_free(port)


@pytest.mark.parametrize(("base", "is_valid"), [(0, False), (1, True), (65531, True), (65532, False), (-5, False)])
def test_a_base_leaves_room_for_all_ports(base: int, is_valid: bool) -> None:
    if is_valid:
        assert Ports.from_base(base) == Ports(base, base + 1, base + 2, base + 3, base + 4)
    else:
        with pytest.raises(ValueError, match="between 1 and 65531"):
            Ports.from_base(base)


def test_without_a_base_the_usual_ports_stay() -> None:
    assert Ports.from_base(None) == Ports(8080, 50051, 9901, 9902, None)
