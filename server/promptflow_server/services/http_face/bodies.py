"""A body by its content type: JSON is read whole, a form while it arrives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from python_multipart.multipart import parse_options_header

from promptflow_core.errors import FlowError, Reason
from promptflow_server.services.admission import Admission
from promptflow_server.services.contracts import FlowContract
from promptflow_server.services.http_face.documents import DocumentReader
from promptflow_server.services.http_face.forms import FormReader
from promptflow_server.services.http_face.json_text import parse_json
from promptflow_server.services.submission import Submission

OFF_LOOP_BYTES = 256 << 10
FILES_PER_BODY = 4
"""A body may carry as much as this many files of the largest size."""

_JSON = frozenset({b"", b"application/json", b"text/json"})
_MAYBE_JSON = frozenset({b"application/x-www-form-urlencoded", b"text/plain"})
"""What `curl -d` and `fetch` say when they are told nothing; a grpc-gateway reads JSON from it too."""

_SUPPORTED = (
    "send `application/json` (curl: `-H 'content-type: application/json' -d '{…}'`) "
    "or `multipart/form-data` (curl: `-F name=value`)"
)


class BodyReader:
    """Reads the bodies of one flow's ExecuteRequest."""

    def __init__(self, contract: FlowContract, admission: Admission) -> None:
        self._documents = DocumentReader(contract)
        self._forms = FormReader(contract, self._documents, admission)
        self._max_body_bytes = FILES_PER_BODY * admission.max_file_bytes

    async def read(self, content_type: str, chunks: AsyncIterator[bytes]) -> Submission:
        """Read a body; the files of a form lie in the file store afterwards, but not where it raises.

        Raises:
            FlowError: MALFORMED_REQUEST, INVALID_INPUT or FILE_TOO_LARGE.
        """
        media_type, options = parse_options_header(content_type)
        bounded = _bounded(chunks, self._max_body_bytes)
        if media_type == b"multipart/form-data" and b"boundary" in options:
            return await self._forms.read(bounded, options[b"boundary"])
        charset = options.get(b"charset", b"utf-8").lower()
        if not _is_json(media_type) or charset not in (b"utf-8", b"utf8", b"us-ascii"):
            raise _unsupported(content_type)
        data = b"".join([chunk async for chunk in bounded])
        if media_type in _MAYBE_JSON and not data.lstrip().startswith(b"{"):
            raise _unsupported(content_type)
        if len(data) <= OFF_LOOP_BYTES:
            return self._read_json(data)
        return await asyncio.to_thread(self._read_json, data)

    def _read_json(self, data: bytes) -> Submission:
        document: Any = parse_json(data) if data.strip() else {}
        if not isinstance(document, dict):
            raise FlowError(Reason.MALFORMED_REQUEST, "the body must be a JSON object with the flow's inputs")
        return self._documents.read(document)  # pyright: ignore[reportUnknownArgumentType]


def _is_json(media_type: bytes) -> bool:
    return media_type in _JSON or media_type in _MAYBE_JSON or media_type.endswith(b"+json")


def _unsupported(content_type: str) -> FlowError:
    return FlowError(Reason.MALFORMED_REQUEST, f"content-type `{content_type[:100]}` is not supported; {_SUPPORTED}")


async def _bounded(chunks: AsyncIterator[bytes], limit_bytes: int) -> AsyncIterator[bytes]:
    size = 0
    async for chunk in chunks:
        size += len(chunk)
        if size > limit_bytes:
            raise FlowError(Reason.FILE_TOO_LARGE, f"the body is larger than {limit_bytes} bytes; send less at a time")
        yield chunk
