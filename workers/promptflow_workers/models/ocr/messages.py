"""What a worker and a page reader say to each other: msgpack, each message after its length."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

LENGTH_BYTES = 4
MAX_MESSAGE_BYTES = 256 << 20


class ReadPage(msgspec.Struct, frozen=True):
    """Read an image file; `name` is what the caller called it. The reader dies when `limit_s` is over."""

    path: str
    name: str
    language: str
    limit_s: float


class Ready(msgspec.Struct, frozen=True, tag=True):
    """The reader waits for pages."""


class PageWord(msgspec.Struct, frozen=True):
    """A word with its box in pixels of the upright image; `confidence` is 0 to 1."""

    text: str
    confidence: float
    left: int
    top: int
    right: int
    bottom: int


class Page(msgspec.Struct, frozen=True, tag=True):
    """What stands on a page, words in reading order."""

    text: str
    words: list[PageWord]


class Refused(msgspec.Struct, frozen=True, tag=True):
    """A FlowError of the reader; `reason` is one of `promptflow_core.errors.Reason`."""

    reason: str
    message: str


Reply: TypeAlias = Ready | Page | Refused

_replies: msgspec.msgpack.Decoder[Reply] = msgspec.msgpack.Decoder(Reply)


def encode(message: ReadPage | Reply) -> bytes:
    """A message with its length before it."""
    body = msgspec.msgpack.encode(message)
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


def decode_request(body: bytes) -> ReadPage:
    """Read the body of a message to the reader."""
    return msgspec.msgpack.decode(body, type=ReadPage)


def decode_reply(body: bytes) -> Reply:
    """Read the body of a message from the reader."""
    return _replies.decode(body)
