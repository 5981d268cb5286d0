"""Which gRPC answers are packed: those of callers that take gzip, and only where that pays.

gRPC negotiates by itself, and unpacks requests within the limit of a message. It packs on the event loop, some 15 MiB a
second: small messages would gain nothing, and large ones would hold up everyone else.
"""

from __future__ import annotations

from typing import Any

import grpc

MIN_BYTES = 4 << 10
MAX_BYTES = 1 << 20

CHANNEL_OPTIONS = (("grpc.default_compression_level", 1),)
"""By a level, unlike by an algorithm, gRPC packs for those alone who said that they take it."""


def decide(size_bytes: int, context: grpc.aio.ServicerContext[Any, Any]) -> None:
    """Called before a message is sent: keeps it unpacked where packing does not pay."""
    if not MIN_BYTES <= size_bytes <= MAX_BYTES:
        context.disable_next_message_compression()
