"""Server-sent events of an HTTP answer. Source: HTML Living Standard, section 9.2.6."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One event; `id` and `event` are empty where the server did not say."""

    data: str
    event: str = ""
    id: str = ""


async def server_events(chunks: AsyncIterator[bytes]) -> AsyncGenerator[ServerEvent]:
    """The events in a `text/event-stream`; comments, and an event that was cut off, are left out."""
    fields: dict[str, str] = {}
    async for line in _lines(chunks):
        if not line:
            if "data" in fields:
                yield ServerEvent(fields["data"], fields.get("event", ""), fields.get("id", ""))
            fields = {}
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        # A line that begins with a colon is a comment: its name is empty, and nobody looks at it.
        fields[name] = f"{fields['data']}\n{value}" if name == "data" and "data" in fields else value


async def _lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[str]:
    """Lines by their ends alone: `str.splitlines` would cut at characters that may stand in a text."""
    rest = b""
    async for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line.removesuffix(b"\r").decode(errors="replace")
