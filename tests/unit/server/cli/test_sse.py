from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from promptflow_server.cli.sse import ServerEvent, server_events


async def events_of(*chunks: bytes) -> list[ServerEvent]:
    async def source() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    return [event async for event in server_events(source())]


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"id: 3\nevent: started\ndata: {}\n\n", [ServerEvent("{}", "started", "3")]),
        (b"data: a\r\n\r\ndata:b\r\n\r\n", [ServerEvent("a"), ServerEvent("b")]),
        (b"data: a\ndata: b\n\n", [ServerEvent("a\nb")]),
        (b": heartbeat\n\nretry: 1000\n\ndata: x\n\n", [ServerEvent("x")]),
        (b": comment\n: another\ndata: x\n\n", [ServerEvent("x")]),
        (b"data\n\n", [ServerEvent("")]),
        (b"data: whole\n\ndata: cut of", [ServerEvent("whole")]),
        ("data: one\u2028line\x85only\x0c\n\n".encode(), [ServerEvent("one\u2028line\x85only\x0c")]),
    ],
    ids=["fields", "crlf", "two data lines", "comments and retry", "comments", "bare name", "cut off", "line ends"],
)
async def test_streams_are_read_as_the_standard_says(stream: bytes, expected: list[ServerEvent]) -> None:
    assert await events_of(stream) == expected
    assert await events_of(*(stream[at : at + 1] for at in range(len(stream)))) == expected
