from __future__ import annotations

import gzip
import zlib
from collections.abc import AsyncIterator

import pytest

from promptflow_core.errors import FlowError
from promptflow_server.services.http_face.encodings import MAX_UNPACKED_JSON_BYTES, PIECE_BYTES, decoded

JSON = "application/json"
TEXT = b'{"text": "' + b"x" * 100_000 + b'"}'


async def pieces_of(body: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


async def read(body: bytes, encoding: str = "gzip", *, size: int = 1000, content_type: str = JSON) -> bytes:
    return b"".join([piece async for piece in decoded(pieces_of(body, size), encoding, content_type)])


@pytest.mark.parametrize("size", [1, 7, 1000, 1 << 20])
@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (TEXT, ""),
        (TEXT, "identity"),
        (gzip.compress(TEXT), "gzip"),
        (gzip.compress(TEXT), " GZIP "),
        (gzip.compress(TEXT), "x-gzip"),
        (gzip.compress(TEXT[:9]) + gzip.compress(TEXT[9:]), "gzip"),
    ],
)
async def test_a_body_is_the_same_however_it_comes(body: bytes, encoding: str, size: int) -> None:
    assert await read(body, encoding, size=size) == TEXT


async def test_no_body_is_none() -> None:
    assert await read(b"") == b""


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (TEXT, "no gzip"),
        (zlib.compress(TEXT), "no gzip"),
        (gzip.compress(TEXT)[:-1], "cut off"),
        (gzip.compress(TEXT)[:20], "cut off"),
        (gzip.compress(TEXT) + b"more", "no gzip"),
        (gzip.compress(TEXT)[:-8] + bytes(8), "no gzip"),
    ],
)
async def test_what_is_no_gzip_is_told(body: bytes, told: str) -> None:
    with pytest.raises(FlowError, match=told) as caught:
        await read(body)
    assert caught.value.record.reason == "MALFORMED_REQUEST"


@pytest.mark.parametrize("encoding", ["br", "deflate", "zstd", "gzip, gzip", "x" * 10_000])
async def test_other_encodings_are_refused(encoding: str) -> None:
    with pytest.raises(FlowError, match="is not supported; send the body as it is, or as `gzip`"):
        await read(b"x", encoding)


async def test_json_ends_at_its_limit_in_pieces_of_bounded_size() -> None:
    body = gzip.compress(bytes(3 * MAX_UNPACKED_JSON_BYTES))
    taken: list[int] = []
    with pytest.raises(FlowError, match=f"unpacks to more than {MAX_UNPACKED_JSON_BYTES} bytes"):
        async for piece in decoded(pieces_of(body, len(body)), "gzip", JSON):
            taken += [len(piece)]
    assert (sum(taken), max(taken)) == (MAX_UNPACKED_JSON_BYTES, PIECE_BYTES)


async def test_a_form_is_for_its_reader_to_count() -> None:
    body = gzip.compress(bytes(MAX_UNPACKED_JSON_BYTES + 1))
    assert len(await read(body, content_type="multipart/form-data; boundary=X")) == MAX_UNPACKED_JSON_BYTES + 1
