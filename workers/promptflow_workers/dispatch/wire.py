"""The part of redis-py that dispatch stands on, with types: one connection, its parser and its encoder."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, cast

from redis.asyncio.connection import ConnectionPool

CONNECT_S = 2.0

Argument = str | bytes | int | float


class Wire(Protocol):
    """A connection that authenticates when it connects. Any error leaves it disconnected, but for error replies."""

    async def connect(self) -> None:
        """Connect unless connected."""
        ...

    async def disconnect(self, nowait: bool = False) -> None:
        """Close the socket; `nowait` leaves the rest to the loop."""
        ...

    def pack_command(self, *args: Argument) -> Sequence[bytes]:
        """Encode one command for `send_packed_command`; raises DataError or UnicodeError where it cannot."""
        ...

    async def send_packed_command(self, command: Iterable[bytes], check_health: bool = True) -> None:
        """Write, connecting first where that is needed."""
        ...

    async def send_command(self, *args: Argument, check_health: bool = True) -> None:
        """Encode and write one command."""
        ...

    async def read_response(self) -> Any:
        """The next reply; an error reply is raised as `redis.exceptions.ResponseError`."""
        ...


def wires(url: str) -> Callable[[], Wire]:
    """What makes connections to `url`: `redis://`, `rediss://` or `unix://`.

    Raises:
        ValueError: it is none of these.
    """
    from_url = cast("Callable[..., Any]", ConnectionPool.from_url)  # pyright: ignore[reportUnknownMemberType]
    pool = from_url(url, socket_connect_timeout=CONNECT_S)
    return cast("Callable[[], Wire]", pool.make_connection)
