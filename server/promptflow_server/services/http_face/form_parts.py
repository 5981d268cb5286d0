"""multipart/form-data as a stream of parts, read while it arrives and never held whole."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from promptflow_core.errors import FlowError, Reason

MAX_PARTS = 1_024


@dataclass(frozen=True, slots=True)
class PartBegun:
    """The head of a part; `filename` is None where it carries a text rather than a file."""

    name: str
    filename: str | None
    content_type: str


@dataclass(frozen=True, slots=True)
class PartEnded:
    """The end of a part."""


PartEvent = PartBegun | bytes | PartEnded


async def read_parts(chunks: AsyncIterator[bytes], boundary: bytes) -> AsyncIterator[PartEvent]:
    """For each part its head, its content in pieces, its end.

    Raises:
        FlowError: MALFORMED_REQUEST: no multipart body, cut off, or of too many parts.
    """
    parser = _Parser(boundary)
    async for chunk in chunks:
        for event in parser.feed(chunk):
            yield event
    parser.finish()


class _Parser:
    """Turns the call-backs of the push parser into values."""

    def __init__(self, boundary: bytes) -> None:
        self._events: list[PartEvent] = []
        self._headers: dict[str, bytes] = {}
        self._name, self._value = b"", b""
        self._parts = 0
        self._is_complete = False
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin_part,
                    "on_header_field": self._add_to_name,
                    "on_header_value": self._add_to_value,
                    "on_header_end": self._end_header,
                    "on_headers_finished": self._end_headers,
                    "on_part_data": self._add_data,
                    "on_part_end": self._end_part,
                    "on_end": self._end,
                },
            )
        except FormParserError as error:
            raise _malformed(str(error)) from None

    def feed(self, chunk: bytes) -> list[PartEvent]:
        """What a piece of the body brings."""
        self._events = []
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise _malformed(str(error)) from None
        return self._events

    def finish(self) -> None:
        """The body is over."""
        if not self._is_complete:
            raise _malformed("it ends before its closing boundary")

    def _begin_part(self) -> None:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise _malformed(f"it has more than {MAX_PARTS} parts")
        self._headers = {}

    def _add_to_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _add_to_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        self._headers[self._name.decode("latin-1").lower()] = self._value
        self._name, self._value = b"", b""

    def _end_headers(self) -> None:
        _, options = parse_options_header(self._headers.get("content-disposition"))
        name, filename = options.get(b"name"), options.get(b"filename")
        if not name:
            raise _malformed(f"part {self._parts} has no name")
        self._events.append(
            PartBegun(
                name.decode("utf-8", "replace"),
                None if filename is None else filename.decode("utf-8", "replace"),
                self._headers.get("content-type", b"").decode("latin-1"),
            )
        )

    def _add_data(self, data: bytes, start: int, end: int) -> None:
        self._events.append(data[start:end])

    def _end_part(self) -> None:
        self._events.append(PartEnded())

    def _end(self) -> None:
        self._is_complete = True


def _malformed(what: str) -> FlowError:
    return FlowError(Reason.MALFORMED_REQUEST, f"the multipart body cannot be read: {what}")
