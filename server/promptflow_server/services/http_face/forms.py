"""Parts of a form as a submission: files go to the file store as they arrive, all else becomes a document."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import replace
from typing import Any

from promptflow_core.errors import FlowError, Reason, Violation
from promptflow_core.types import EnumType, Kind, ListType, ScalarType, ValueType
from promptflow_core.values import FileRef
from promptflow_server.services.admission import Admission
from promptflow_server.services.contracts import FlowContract
from promptflow_server.services.errors import bad_request
from promptflow_server.services.http_face.documents import DocumentReader
from promptflow_server.services.http_face.form_parts import PartBegun, PartEnded, PartEvent, read_parts
from promptflow_server.services.http_face.json_text import parse_json
from promptflow_server.services.submission import Submission, file_limit, too_large

MAX_TEXT_BYTES = 1 << 20


class FormReader:
    """Reads the forms of one flow's ExecuteRequest."""

    def __init__(self, contract: FlowContract, documents: DocumentReader, admission: Admission) -> None:
        self._contract = contract
        self._documents = documents
        self._admission = admission

    async def read(self, chunks: AsyncIterator[bytes], boundary: bytes) -> Submission:
        """Read a form; its files lie in the file store afterwards, but not where it raises.

        Raises:
            FlowError: MALFORMED_REQUEST, INVALID_INPUT, FILE_TOO_LARGE.
        """
        staged_id = self._admission.new_execution_id()
        is_read = False
        try:
            document, mistakes = await self._document_of(read_parts(chunks, boundary), staged_id)
            submission = self._documents.read(document)
            is_read = True
        finally:
            if not is_read:
                await self._admission.blobs.delete(staged_id)
        return replace(submission, violations=(*submission.violations, *mistakes), staged_id=staged_id)

    async def _document_of(
        self, parts: AsyncIterator[PartEvent], staged_id: str
    ) -> tuple[dict[str, Any], list[Violation]]:
        document: dict[str, Any] = {}
        mistakes: list[Violation] = []
        async for head in parts:
            assert isinstance(head, PartBegun)
            if head.name in self._documents.reserved.names:
                await _skip(_content(parts))
                continue
            value = await self._value_of(head, _content(parts), staged_id)
            if isinstance(value, Violation):
                mistakes.append(value)
            elif isinstance(self._type_of(head.name), ListType):
                document.setdefault(head.name, []).append(value)
            elif head.name in document:
                mistakes.append(Violation(head.name, "is given more than once"))
            else:
                document[head.name] = value
        return document, mistakes

    def _type_of(self, name: str) -> ValueType | None:
        field = self._documents.shape.field(name)
        return None if field is None else field.type

    async def _value_of(self, head: PartBegun, content: AsyncGenerator[bytes, None], staged_id: str) -> Any:
        value_type = self._type_of(head.name)
        element = value_type.element if isinstance(value_type, ListType) else value_type
        limit = file_limit(self._contract.plan, head.name, self._admission.max_file_bytes)
        match element:
            case None:
                return await _skip(content)
            case ScalarType(scalar=Kind.FILE) if head.filename is not None:
                return await self._store(head, content, staged_id, limit)
            case ScalarType(scalar=Kind.FILE):
                await _skip(content)
                return Violation(head.name, f"must be a file, sent with a filename (curl: `-F {head.name}=@file`)")
            case ScalarType(scalar=Kind.BYTES):
                return await _collect(head.name, content, limit)
            case _:
                return _from_text(element, await _collect(head.name, content, MAX_TEXT_BYTES), head.name)

    async def _store(
        self, head: PartBegun, content: AsyncGenerator[bytes, None], staged_id: str, limit_bytes: int
    ) -> FileRef:
        try:
            return await self._admission.blobs.write(
                staged_id, content, name=head.filename or "", content_type=head.content_type, max_bytes=limit_bytes
            )
        except FlowError as error:
            if error.record.reason is Reason.FILE_TOO_LARGE:
                raise bad_request([too_large(head.name, limit_bytes)], Reason.FILE_TOO_LARGE) from None
            raise


async def _content(parts: AsyncIterator[PartEvent]) -> AsyncGenerator[bytes, None]:
    async for event in parts:
        if isinstance(event, PartEnded):
            return
        assert isinstance(event, bytes)
        yield event


async def _skip(content: AsyncGenerator[bytes, None]) -> str:
    async for _ in content:
        pass
    return ""


async def _collect(name: str, content: AsyncGenerator[bytes, None], limit_bytes: int) -> bytes:
    collected = bytearray()
    async for piece in content:
        collected += piece
        if len(collected) > limit_bytes:
            raise bad_request([Violation(name, f"is larger than {limit_bytes} bytes")])
    return bytes(collected)


def _from_text(value_type: ValueType, data: bytes, name: str) -> Any:
    """What a JSON document would hold; a text that is none stays one, for the document's reader to complain of."""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        return Violation(name, f"is no UTF-8 at byte {error.start}")
    match value_type:
        case ScalarType(scalar=Kind.STRING):
            return text
        case EnumType() | ScalarType(scalar=Kind.INTEGER | Kind.INT32 | Kind.TIMESTAMP | Kind.DURATION):
            return text.strip()
        case ScalarType(scalar=Kind.BOOLEAN):
            return {"true": True, "false": False}.get(text.strip().casefold(), text)
        case ScalarType(scalar=Kind.NUMBER):
            return _number_or_text(text)
        case _:
            return _json_part(data, name)


def _number_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _json_part(data: bytes, name: str) -> Any:
    try:
        return parse_json(data)
    except FlowError as error:
        return Violation(name, error.record.message.replace("the body", "the part", 1))
