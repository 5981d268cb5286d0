"""The ports of one running PromptFlow, and who holds them already."""

from __future__ import annotations

import errno
import socket
from dataclasses import dataclass
from itertools import chain

LOOPBACK = "127.0.0.1"

_LAST_PORT = 65535
_SPAN = 5
_SUGGESTED_BASES = range(18080, 60000, 1000)


class PortsTakenError(Exception):
    """Ports that another process listens on; the message names them and what moves them."""


@dataclass(frozen=True, slots=True)
class Ports:
    """`redis` None leaves its choice to the embedded Redis, which wants one only where a socket's path is too long."""

    gateway: int = 8080
    grpc: int = 50051
    admin: int = 9901
    metrics: int = 9902
    redis: int | None = None

    @classmethod
    def from_base(cls, base: int | None) -> Ports:
        """The usual ports, or `base` and those that follow it.

        Raises:
            ValueError: they would not all be ports.
        """
        if base is None:
            return cls()
        if not 1 <= base <= _LAST_PORT - _SPAN + 1:
            raise ValueError(f"a port base is between 1 and {_LAST_PORT - _SPAN + 1}, not {base}")
        return cls(base, base + 1, base + 2, base + 3, base + 4)

    def named(self, *, with_gateway: bool) -> dict[str, int]:
        """What listens where, in words; without the gateway only the server does."""
        server = {"gRPC server": self.grpc}
        if not with_gateway:
            return server
        return {
            "gateway (REST, gRPC, SSE)": self.gateway,
            **server,
            "Envoy admin": self.admin,
            "metrics": self.metrics,
        }


def require_free(ports: Ports, *, host: str = LOOPBACK, with_gateway: bool = True) -> None:
    """Nothing, where every port can be had.

    Asked before anything starts: two gRPC servers would share a port without a word.

    Raises:
        PortsTakenError: some cannot.
    """
    taken = [
        f"{port} ({name})"
        for name, port in ports.named(with_gateway=with_gateway).items()
        if not is_free(port, host if port == ports.gateway else LOOPBACK)
    ]
    if taken:
        are = "port is" if len(taken) == 1 else "ports are"
        raise PortsTakenError(
            f"{len(taken)} {are} taken: {', '.join(taken)}\n"
            f"hint: `--port-base {_free_base()}` moves them all, or stop what listens there"
        )


def is_free(port: int, host: str = LOOPBACK) -> bool:
    """Whether a server could listen on `port` now."""
    with socket.socket() as probe:
        # As servers do, or a port that was left a moment ago would count as taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise
    return True


def _free_base() -> int:
    bases = chain(_SUGGESTED_BASES)
    return next((base for base in bases if all(is_free(base + step) for step in range(_SPAN))), 18080)
