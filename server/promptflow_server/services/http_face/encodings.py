"""Bodies that came packed: unpacked while they arrive, within limits, so that a small one never becomes a large one."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator

from promptflow_core.errors import FlowError, Reason

MAX_UNPACKED_JSON_BYTES = 8 << 20
"""What the gateway lets through of JSON that is not packed."""

PIECE_BYTES = 64 << 10
_GZIP = 31


def decoded(chunks: AsyncIterator[bytes], encoding: str, content_type: str) -> AsyncIterator[bytes]:
    """A body without its content-encoding.

    Raises:
        FlowError: MALFORMED_REQUEST, the encoding is none that is read here. While it is drawn from: that, where it is
            no gzip, and FILE_TOO_LARGE.
    """
    match encoding.strip().lower():
        case "" | "identity":
            return chunks
        case "gzip" | "x-gzip":
            # A form is not held in memory: its reader counts.
            limit_bytes = None if content_type.startswith("multipart/") else MAX_UNPACKED_JSON_BYTES
            return _unpacked(chunks, limit_bytes)
        case other:
            message = f"content-encoding `{other[:32]}` is not supported; send the body as it is, or as `gzip`"
            raise FlowError(Reason.MALFORMED_REQUEST, message)


async def _unpacked(chunks: AsyncIterator[bytes], limit_bytes: int | None) -> AsyncIterator[bytes]:
    unpacker = zlib.decompressobj(_GZIP)
    is_begun, size = False, 0
    async for chunk in chunks:
        packed = chunk
        while packed:
            if unpacker.eof:  # a gzip may be several, one after the other
                unpacker = zlib.decompressobj(_GZIP)
            try:
                piece = unpacker.decompress(packed, PIECE_BYTES)
            except zlib.error as error:
                raise FlowError(Reason.MALFORMED_REQUEST, f"the body is no gzip: {error}") from None
            packed = unpacker.unconsumed_tail or unpacker.unused_data
            is_begun, size = True, size + len(piece)
            if limit_bytes is not None and size > limit_bytes:
                message = f"the body unpacks to more than {limit_bytes} bytes; send files as multipart/form-data"
                raise FlowError(Reason.FILE_TOO_LARGE, message)
            yield piece
            await asyncio.sleep(0)
    if is_begun and not unpacker.eof:
        raise FlowError(Reason.MALFORMED_REQUEST, "the body is a gzip that was cut off")
