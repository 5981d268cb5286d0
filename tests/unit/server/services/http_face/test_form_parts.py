from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptflow_core.errors import FlowError, Reason
from promptflow_server.services.http_face.form_parts import PartBegun, PartEnded, PartEvent, read_parts

HEAD = b'--XX\r\nContent-Disposition: form-data; name="a"'
BODY = (
    HEAD + b'; filename="f.png"\r\nContent-Type: image/png\r\n\r\none\r\n--X two\r\n' + HEAD + b"\r\n\r\n\r\n--XX--\r\n"
)


async def chunks(pieces: Sequence[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def events_of(pieces: Sequence[bytes], boundary: bytes = b"XX") -> list[PartEvent]:
    return [event async for event in read_parts(chunks(pieces), boundary)]


def merged(events: list[PartEvent]) -> list[PartEvent]:
    found: list[PartEvent] = []
    for event in events:
        if isinstance(event, bytes) and found and isinstance(found[-1], bytes):
            found[-1] += event
        else:
            found.append(event)
    return found


@pytest.mark.parametrize("size", [1, 2, 3, 5, 1000])
async def test_parts_are_the_same_however_the_body_is_cut(size: int) -> None:
    pieces = [BODY[start : start + size] for start in range(0, len(BODY), size)]
    assert merged(await events_of(pieces)) == [
        PartBegun("a", "f.png", "image/png"),
        b"one\r\n--X two",
        PartEnded(),
        PartBegun("a", None, ""),
        PartEnded(),
    ]


@pytest.mark.parametrize(
    ("head", "begun"),
    [
        (b'form-data; name="a b"', PartBegun("a b", None, "")),
        ('form-data; name="ä"; filename="ö.png"'.encode(), PartBegun("ä", "ö.png", "")),
        (b'form-data; name="a"; filename="../../etc/passwd"', PartBegun("a", "../../etc/passwd", "")),
        (b'form-data; name="a"; filename="C:\\\\dir\\\\f.png"', PartBegun("a", "f.png", "")),
        (b'form-data; name="a"; filename=""', PartBegun("a", "", "")),
        (b'form-data; name="\xff"', PartBegun("\ufffd", None, "")),
    ],
)
async def test_names_are_read_as_browsers_and_curl_write_them(head: bytes, begun: PartBegun) -> None:
    body = b"--XX\r\nContent-Disposition: " + head + b"\r\n\r\nx\r\n--XX--"
    assert (await events_of([body]))[0] == begun


async def test_what_follows_the_closing_boundary_is_ignored() -> None:
    assert len(await events_of([BODY, b"anything"])) == len(await events_of([BODY]))


@pytest.mark.parametrize(
    ("body", "boundary"),
    [(b"", b"XX"), (b"--YY\r\n", b"XX"), (BODY[:-8], b"XX"), (BODY, b"X" * 1000), (HEAD[:20] + b"\r\n\r\n", b"XX")],
)
async def test_a_body_that_is_no_form_is_malformed(body: bytes, boundary: bytes) -> None:
    with pytest.raises(FlowError) as caught:
        await events_of([body], boundary)
    assert caught.value.record.reason is Reason.MALFORMED_REQUEST


PIECE = st.sampled_from(
    [b"--XX", b"--", b"\r\n", b"\n", b'; name="a"', b"Content-Disposition: form-data", b":", b"x", HEAD]
)


@settings(max_examples=300)
@given(pieces=st.lists(st.one_of(PIECE, st.binary(max_size=6)), max_size=20))
async def test_whatever_comes_is_parts_or_refused(pieces: list[bytes]) -> None:
    try:
        events = await events_of(pieces)
    except FlowError as error:
        assert error.record.reason is Reason.MALFORMED_REQUEST
    else:
        assert sum(isinstance(event, PartBegun) for event in events) == events.count(PartEnded())
