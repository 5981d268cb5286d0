"""gzip on both sides of the server: packed requests within limits, packed answers for those who take them."""

from __future__ import annotations

import asyncio
import gzip
import json
import resource
import struct
import zlib
from collections.abc import Mapping

import grpc
import h2.config
import h2.connection
import h2.events
import pytest
from tests.contract.memory_engine import MemoryEngine
from tests.contract.serving import MAX_MESSAGE_BYTES, CallError, Server
from tests.contract.test_http_bodies import FORM, JSON, form, part

SYNC = 2
MIB = 1 << 20


def framed(message: bytes, *, packed: bool) -> bytes:
    return struct.pack(">BI", packed, len(message)) + message


def bomb(mebibytes: int) -> bytes:
    """A gzip of so many MiB of zeros."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join([*(packer.compress(bytes(MIB)) for _ in range(mebibytes)), packer.flush()])


class Exchange:
    """One call, frame by frame, as gRPC's own clients hide it: headers and trailers, and the body as it came."""

    def __init__(self, body: bytes) -> None:
        self.connection = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.headers: dict[str, str] = {}
        self.data = b""
        self.has_ended = False
        self._body = body

    def begin(self, headers: Mapping[str, str]) -> None:
        self.connection.initiate_connection()
        self.connection.send_headers(1, list(headers.items()), end_stream=not self._body)

    def go_on(self) -> None:
        """Send as much of the body as the server is ready for."""
        while self._body and not self.has_ended:
            size = min(self.connection.local_flow_control_window(1), self.connection.max_outbound_frame_size)
            if size <= 0:
                return
            piece, self._body = self._body[:size], self._body[size:]
            self.connection.send_data(1, piece, end_stream=not self._body)

    def take(self, received: bytes) -> None:
        for event in self.connection.receive_data(received):
            match event:
                case h2.events.ResponseReceived() | h2.events.TrailersReceived():
                    self.headers |= {str(key): str(value) for key, value in event.headers or ()}
                case h2.events.DataReceived():
                    self.data += event.data or b""
                    self.connection.acknowledge_received_data(event.flow_controlled_length or 0, 1)
                case h2.events.StreamEnded() | h2.events.StreamReset():
                    self.has_ended = True
                case _:
                    pass


async def call(server: Server, method: str, body: bytes, headers: Mapping[str, str]) -> tuple[dict[str, str], bytes]:
    """The headers and trailers of an answer, and its frames."""
    path = f"/{server.contract.service}/{method}"
    fixed = {":method": "POST", ":scheme": "http", ":authority": server.address, ":path": path}
    grpc_headers = {"content-type": "application/grpc", "te": "trailers", "grpc-timeout": "8S"}
    exchange = Exchange(body)
    exchange.begin({**fixed, **grpc_headers, **headers})
    host, _, port = server.address.partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        async with asyncio.timeout(8):
            while not exchange.has_ended:
                exchange.go_on()
                writer.write(exchange.connection.data_to_send())
                exchange.take(await reader.read(65536))
    finally:
        writer.close()
        await writer.wait_closed()
    return exchange.headers, exchange.data


@pytest.mark.parametrize(
    ("size", "accepted", "is_packed"),
    [
        (10_000, "gzip", True),
        (10_000, "identity, deflate, gzip", True),
        (10_000, "identity", False),
        (10_000, "", False),
        (100, "gzip", False),
        (1_100_000, "gzip", False),
    ],
)
@pytest.mark.parametrize("method", ["Execute", "ExecuteStream"])
async def test_answers_are_packed_for_who_takes_it_where_that_pays(
    server: Server, method: str, size: int, accepted: str, is_packed: bool
) -> None:
    request = server.contract.execute_request(text="x" * size, execution_mode=SYNC).SerializeToString()
    headers = {"grpc-accept-encoding": accepted} if accepted else {}
    found, data = await call(server, method, framed(request, packed=False), headers)
    flags: list[int] = []
    while data:
        flag, length = struct.unpack_from(">BI", data)
        flags.append(flag)
        message = data[5 : 5 + length]
        whole = gzip.decompress(message) if flag else message
        data = data[5 + length :]
    assert found["grpc-status"] == "0"
    assert any(flags) == is_packed
    last = (
        server.contract.event.FromString(whole).done
        if method == "ExecuteStream"
        else (server.contract.execution.FromString(whole))
    )
    assert last.result.inspect.text == "x" * size


async def test_a_packed_request_is_read(server: Server) -> None:
    request = gzip.compress(server.contract.execute_request(text="hello").SerializeToString())
    found, _ = await call(server, "Execute", framed(request, packed=True), {"grpc-encoding": "gzip"})
    assert found["grpc-status"] == "0"


async def test_a_small_request_that_unpacks_to_a_large_one_is_refused_in_bounded_memory(
    server: Server, engine: MemoryEngine
) -> None:
    packed = await asyncio.to_thread(bomb, 400)
    assert len(packed) < MAX_MESSAGE_BYTES
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for method in ("Execute", "BatchExecute", "Plan"):
        found, _ = await call(server, method, framed(packed, packed=True), {"grpc-encoding": "gzip"})
        assert found["grpc-status"] == str(grpc.StatusCode.RESOURCE_EXHAUSTED.value[0])
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50 << 10
    assert not engine.runs


GZIP = {"content-encoding": "gzip"}


async def test_packed_bodies_are_read(server: Server) -> None:
    text = "x" * 100_000
    document = json.dumps({"text": text, "execution_mode": "SYNC"}).encode()
    twice = gzip.compress(document[:100]) + gzip.compress(document[100:])
    page = b"the bytes of a page" * 100
    bodies = {
        JSON: [gzip.compress(document), twice],
        FORM: [
            gzip.compress(form(part("text", text), part("execution_mode", "sync"), part("document", page, "a.png")))
        ],
    }
    for content_type, packed in bodies.items():
        for body in packed:
            pieces = [body[start : start + 100] for start in range(0, len(body), 100)]
            execution = await server.post(pieces, content_type, GZIP)
            assert execution.result.inspect.text == text
    assert [path.read_bytes() for path in server.stored_files()] == [page]


REFUSED: list[tuple[bytes, str, str, str]] = [
    (b'{"text": "ok"}', "gzip", "MALFORMED_REQUEST", "the body is no gzip"),
    (gzip.compress(b'{"text": "ok"}')[:-4], "gzip", "MALFORMED_REQUEST", "cut off"),
    (b'{"text": "ok"}', "br", "MALFORMED_REQUEST", "content-encoding `br` is not supported"),
    (b'{"text": "ok"}', "gzip, gzip", "MALFORMED_REQUEST", "is not supported"),
    (bomb(9), "gzip", "FILE_TOO_LARGE", "the body is larger than 262144 bytes"),
]


@pytest.mark.parametrize(("body", "encoding", "reason", "told"), REFUSED)
async def test_a_packed_body_that_cannot_be_read_says_why(
    server: Server, engine: MemoryEngine, body: bytes, encoding: str, reason: str, told: str
) -> None:
    with pytest.raises(CallError) as caught:
        await server.post([body], JSON, {"content-encoding": encoding})
    assert caught.value.info.reason == reason
    assert told in caught.value.message
    assert not engine.runs


async def test_a_packed_form_ends_where_it_grows_too_large(server: Server) -> None:
    body = gzip.compress(form(part("text", "ok"), part("document", bytes(20 * MIB), "a.bin")))
    with pytest.raises(CallError) as caught:
        await server.post([body], FORM, GZIP)
    assert caught.value.info.reason == "FILE_TOO_LARGE"
    assert not server.stored_files()
