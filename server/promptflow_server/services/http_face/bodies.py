"""A body by its content type: JSON is read whole, a form while it arrives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, TypeVar

from python_multipart.multipart import parse_options_header

from promptflow_core.errors import FlowError, Reason, Violation
from promptflow_server.services.admission import Admission
from promptflow_server.services.batches import Reader
from promptflow_server.services.contracts import FlowContract
from promptflow_server.services.errors import bad_request
from promptflow_server.services.http_face.documents import MAX_TOLD, DocumentReader
from promptflow_server.services.http_face.forms import FormReader
from promptflow_server.services.http_face.json_text import parse_json
from promptflow_server.services.http_face.scalar_forms import shown, suggestion
from promptflow_server.services.submission import Submission

OFF_LOOP_BYTES = 256 << 10
FILES_PER_BODY = 4
"""A body may carry as much as this many files of the largest size."""

T = TypeVar("T")

_JSON = frozenset({b"", b"application/json", b"text/json"})
_MAYBE_JSON = frozenset({b"application/x-www-form-urlencoded", b"text/plain"})
"""What `curl -d` and `fetch` say when they are told nothing; a grpc-gateway reads JSON from it too."""

_AN_OBJECT = "must be a JSON object with the flow's inputs"
_SEND_JSON = "send `application/json` (curl: `-H 'content-type: application/json' -d '{…}'`)"
_SEND_INPUTS = f"{_SEND_JSON} or `multipart/form-data` (curl: `-F name=value`)"


class BodyReader:
    """Reads the bodies of one flow's ExecuteRequest, and of its BatchExecuteRequest."""

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
        data = await _json_data(content_type, bounded, _SEND_INPUTS)
        return await _near_the_loop(lambda: self._documents.read(_object_in(data)), len(data))

    async def read_batch(self, content_type: str, chunks: AsyncIterator[bytes]) -> Sequence[Reader]:
        """Read the body of a batch; what is wrong in one of its requests shows when that one is read.

        Raises:
            FlowError: MALFORMED_REQUEST, INVALID_INPUT or FILE_TOO_LARGE.
        """
        data = await _json_data(content_type, _bounded(chunks, self._max_body_bytes), _SEND_JSON)
        requests = _requests_in(await _near_the_loop(lambda: _object_in(data), len(data)))
        return [self._reader(f"requests[{index}]", request, len(data)) for index, request in enumerate(requests)]

    def _reader(self, place: str, request: Any, most_bytes: int) -> Reader:
        async def read() -> Submission:
            if not isinstance(request, dict):
                raise bad_request([Violation(place, f"{_AN_OBJECT}, not {shown(request)}")])
            return await _near_the_loop(lambda: self._documents.read(request), most_bytes)

        return read


async def _near_the_loop(work: Callable[[], T], size_bytes: int) -> T:
    """Do small work here, large work in a thread."""
    return work() if size_bytes <= OFF_LOOP_BYTES else await asyncio.to_thread(work)


async def _json_data(content_type: str, chunks: AsyncIterator[bytes], advice: str) -> bytes:
    media_type, options = parse_options_header(content_type)
    unsupported = FlowError(Reason.MALFORMED_REQUEST, f"content-type `{content_type[:100]}` is not supported; {advice}")
    charset = options.get(b"charset", b"utf-8").lower()
    if not _is_json(media_type) or charset not in (b"utf-8", b"utf8", b"us-ascii"):
        raise unsupported
    data = b"".join([chunk async for chunk in chunks])
    if media_type in _MAYBE_JSON and not data.lstrip().startswith(b"{"):
        raise unsupported
    return data


def _object_in(data: bytes) -> Mapping[str, Any]:
    return _as_object(parse_json(data) if data.strip() else {})


def _as_object(document: Any) -> Mapping[str, Any]:
    if not isinstance(document, dict):
        raise FlowError(Reason.MALFORMED_REQUEST, f"the body {_AN_OBJECT}")
    return document  # pyright: ignore[reportUnknownVariableType]


def _requests_in(document: Mapping[str, Any]) -> Sequence[Any]:
    requests = document.get("requests")
    if requests is None:
        requests = []
    violations = [
        Violation(name[:64], f"a batch has no such field{suggestion(name, ('requests',))}")
        for name in list(document)[:MAX_TOLD]
        if name != "requests"
    ]
    if not isinstance(requests, list):
        violations.append(Violation("requests", f"must be a list, not {shown(requests)}"))
    if violations:
        raise bad_request(violations)
    return requests  # pyright: ignore[reportUnknownVariableType]


def _is_json(media_type: bytes) -> bool:
    return media_type in _JSON or media_type in _MAYBE_JSON or media_type.endswith(b"+json")


async def _bounded(chunks: AsyncIterator[bytes], limit_bytes: int) -> AsyncIterator[bytes]:
    size = 0
    async for chunk in chunks:
        size += len(chunk)
        if size > limit_bytes:
            raise FlowError(Reason.FILE_TOO_LARGE, f"the body is larger than {limit_bytes} bytes; send less at a time")
        yield chunk
