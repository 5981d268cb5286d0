"""Answers that stream: one event after the other, framed by what the caller accepts."""

from __future__ import annotations

import json
from typing import Any

from promptflow_codegen.emit.openapi.schemas import Schema

SSE, NDJSON, ARRAY = "text/event-stream", "application/x-ndjson", "application/json"

_EXTENSION = "x-item-schema"
"""Where tools that know no `itemSchema` may look."""


def stream_content(event: Schema, example: Any) -> dict[str, Schema]:
    """The media types of a stream of `event`, as 3.1 can describe them."""
    line = json.dumps(example, ensure_ascii=False)
    kind = next((name for name in ("accepted", "done") if name in example), "message")
    sse = _text("Server-Sent Events; the data of each is an event as JSON", event)
    ndjson = _text("An event as JSON on each line", event)
    return {
        SSE: {**sse, "example": f"id: 1\nevent: {kind}\ndata: {line}\n\n"},
        NDJSON: {**ndjson, "example": f"{line}\n"},
        ARRAY: {"schema": {"type": "array", "items": event}},
    }


def openapi_32(document: bytes) -> bytes:
    """The same document in OpenAPI 3.2, where a stream is described by its items."""
    root: dict[str, Any] = json.loads(document)
    root["openapi"] = "3.2.0"
    for item in root["paths"].values():
        for operation in item.values():
            content: dict[str, Schema] = operation["responses"]["200"]["content"]
            for media_type, described in content.items():
                event: Schema | None = described.pop(_EXTENSION, None)
                if event is not None:
                    del described["schema"]
                    described["itemSchema"] = _sse_item(event) if media_type == SSE else event
    return json.dumps(root, ensure_ascii=False, separators=(",", ":")).encode()


def _text(description: str, event: Schema) -> Schema:
    return {"schema": {"type": "string", "description": description}, _EXTENSION: event}


def _sse_item(event: Schema) -> Schema:
    return {
        "type": "object",
        "required": ["data"],
        "properties": {
            "id": {"type": "string", "description": "The sequence; absent in what is not stored"},
            "event": {"type": "string", "description": "Which arm of the event is there", "examples": ["done"]},
            "data": {"type": "string", "contentMediaType": "application/json", "contentSchema": event},
            "retry": {"type": "integer"},
        },
    }
