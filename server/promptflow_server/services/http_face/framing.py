"""Events as an HTTP answer: Server-Sent Events, NDJSON or a JSON array, by what the caller accepts."""

from __future__ import annotations

import re

from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.json_format import MessageToJson

from promptflow_server.services.contracts import Message

RETRY_MS = 1_000
_QUALITY = re.compile(r"[0-9]+(\.[0-9]*)?")


class Framing:
    """A way to write events; one instance writes one answer."""

    content_type: str

    def __init__(self, pool: DescriptorPool) -> None:
        self._pool = pool

    def begin(self) -> bytes:
        """What stands before the first event."""
        return b""

    def frame(self, event: Message) -> bytes:
        """One event."""
        raise NotImplementedError

    def end(self) -> bytes:
        """What stands after the last event."""
        return b""

    def _json(self, event: Message) -> str:
        return MessageToJson(
            event,
            preserving_proto_field_name=True,
            always_print_fields_with_no_presence=True,
            indent=None,
            ensure_ascii=False,
            descriptor_pool=self._pool,
        )


class ServerSentEvents(Framing):
    """text/event-stream: an id per stored event, so that EventSource resumes; heartbeats are comments."""

    content_type = "text/event-stream"

    def begin(self) -> bytes:
        """How long EventSource waits before it comes back."""
        return f"retry: {RETRY_MS}\n\n".encode()

    def frame(self, event: Message) -> bytes:
        """One event of the stream; what is not stored has no id."""
        kind: str = event.WhichOneof("event")
        if kind == "heartbeat":
            return b": heartbeat\n\n"
        id_line = f"id: {event.sequence}\n" if event.sequence else ""
        return f"{id_line}event: {kind}\ndata: {self._json(event)}\n\n".encode()


class NdJson(Framing):
    """application/x-ndjson: an event a line."""

    content_type = "application/x-ndjson"

    def frame(self, event: Message) -> bytes:
        """One line."""
        return f"{self._json(event)}\n".encode()


class JsonArray(Framing):
    """application/json: one array, written element by element."""

    content_type = "application/json"

    def __init__(self, pool: DescriptorPool) -> None:
        super().__init__(pool)
        self._separator = ""

    def begin(self) -> bytes:
        """The opening bracket."""
        return b"["

    def frame(self, event: Message) -> bytes:
        """One element, after a comma where it is not the first."""
        text, self._separator = f"{self._separator}{self._json(event)}", ",\n"
        return text.encode()

    def end(self) -> bytes:
        """The closing bracket."""
        return b"]\n"


_BY_MEDIA_TYPE: dict[str, type[Framing]] = {
    "text/event-stream": ServerSentEvents,
    "application/x-ndjson": NdJson,
    "application/ndjson": NdJson,
    "application/jsonl": NdJson,
    "application/json": JsonArray,
}


def framing_for(accept: str, pool: DescriptorPool) -> Framing:
    """The framing that `accept` prefers; a JSON array where it names none, or nothing that can be read."""
    ranked = sorted(_ranges_of(accept), key=lambda entry: -entry[1])
    found = (
        _BY_MEDIA_TYPE[media_type] for media_type, quality in ranked if quality > 0 and media_type in _BY_MEDIA_TYPE
    )
    return next(found, JsonArray)(pool)


def _ranges_of(accept: str) -> list[tuple[str, float]]:
    ranges: list[tuple[str, float]] = []
    for entry in accept.split(","):
        media_type, *parameters = (part.strip().lower() for part in entry.split(";"))
        quality = next((part[2:] for part in parameters if part.startswith("q=")), "1")
        ranges.append((media_type, float(quality) if _QUALITY.fullmatch(quality) else 0.0))
    return ranges
