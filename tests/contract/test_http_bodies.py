"""ExecuteHttp: JSON and multipart as Envoy hands them on."""

from __future__ import annotations

import asyncio
import base64
import json
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import grpc
import pytest
from google.api import httpbody_pb2  # type: ignore[import-untyped]
from google.rpc import error_details_pb2  # type: ignore[import-untyped]
from grpc_status import rpc_status
from tests.contract.memory_engine import MemoryEngine, stall
from tests.contract.serving import MAX_FILE_BYTES, CallError, Server, serving
from tests.unit.server.services.everything import MAX_PAGE_BYTES, PLAN

from promptflow_codegen.bundle import Bundle
from promptflow_core.errors import FlowError, Reason
from promptflow_core.types import ObjectType
from promptflow_core.values import NativeValue, decode_value, encode_value

JSON = "application/json"
FORM = "multipart/form-data; boundary=XX"
SEND = "send the bytes as `content`, or the file itself as multipart/form-data"
PAGE = b"the bytes\r\n--X of a page"


def part(name: str, content: bytes | str, filename: str | None = None, content_type: str = "") -> bytes:
    file = f'; filename="{filename}"' if filename is not None else ""
    kind = f"Content-Type: {content_type}\r\n" if content_type else ""
    head = f'--XX\r\nContent-Disposition: form-data; name="{name}"{file}\r\n{kind}\r\n'
    return head.encode() + (content.encode() if isinstance(content, str) else content) + b"\r\n"


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--XX--\r\n"


def in_pieces(body: bytes, size: int) -> list[bytes]:
    return [body[start : start + size] for start in range(0, len(body), size)] or [b""]


async def refused(server: Server, body: bytes, content_type: str, headers: dict[str, str] | None = None) -> CallError:
    with pytest.raises(CallError) as caught:
        await server.post([body], content_type, headers)
    return caught.value


JSON_TYPES = [
    JSON,
    "application/json; charset=UTF-8",
    "application/problem+json",
    "application/x-www-form-urlencoded",
    "text/plain;charset=UTF-8",
    "",
]


@pytest.mark.parametrize("content_type", JSON_TYPES)
async def test_json_is_read_whatever_its_content_type_is_called(server: Server, content_type: str) -> None:
    body = b'{"text": "hello", "execution_mode": "sync", "count": "8"}'
    execution = await server.post(in_pieces(body, 7), content_type)
    assert (execution.status, execution.result.inspect.count) == (3, 8)
    assert server.sent_headers["x-execution-id"] == execution.execution_id


async def test_json_may_carry_a_file(server: Server, engine: MemoryEngine) -> None:
    document = {"content": base64.b64encode(PAGE).decode(), "name": "a.png"}
    execution = await server.post([json.dumps({"text": "ok", "document": document}).encode()], JSON)
    assert engine.runs[execution.execution_id].record.inputs["document"].name == "a.png"
    assert [path.read_bytes() for path in server.stored_files()] == [PAGE]


async def test_shape_and_constraints_are_told_together(server: Server, engine: MemoryEngine) -> None:
    body = {
        "text": 5,
        "txet": "x",
        "count": 2000,
        "tags": ["ab", "c"],
        "reviewers": [{"age": "x"}],
        "document": {"uri": "http://a"},
        "options": {"timeout": "0s"},
    }
    failure = await refused(server, json.dumps(body).encode(), JSON)
    assert failure.code is grpc.StatusCode.INVALID_ARGUMENT
    assert failure.violations == {
        "text": "must be text, not a number",
        "txet": "`everything` v1 has no such input; did you mean `text`?",
        "reviewers[0].age": "must be a whole number, not text",
        "count": "must be less than or equal to 1000",
        "tags[1]": "must be at least 2 characters",
        "reviewers[0].name": "value is required",
        "options.timeout": "must be a duration above 0, such as `30s`",
        "document": f"`uri` is not supported yet; {SEND}",
    }
    assert not engine.runs


MALFORMED: list[tuple[bytes, str, str]] = [
    (b'{"text": ', JSON, "line 1, column 10"),
    (b'{"text": "a", "text": "b"}', JSON, "key `text` occurs twice"),
    (b'{"text": NaN}', JSON, "NaN is no JSON"),
    (b'["text"]', JSON, "must be a JSON object"),
    (b"null", JSON, "must be a JSON object"),
    (b'{"text": "\xff"}', JSON, "no UTF-8 at byte 10"),
    (b'{"extra":' + b"[" * 99_999, JSON, "line 1"),
    (b"text=ok", "application/x-www-form-urlencoded", "curl: `-H 'content-type: application/json'"),
    (b"ok", "text/plain", "content-type `text/plain` is not supported"),
    (b"<text>ok</text>", "application/xml", "content-type `application/xml` is not supported"),
    (b'{"text": "ok"}', "application/json; charset=latin-1", "is not supported"),
    (b"", "multipart/form-data", "is not supported"),
    (b"", FORM, "ends before its closing boundary"),
    (b"hello", FORM, "cannot be read"),
    (part("text", "ok"), FORM, "ends before its closing boundary"),
    (b"--XX\r\nContent-Disposition: form-data\r\n\r\nx\r\n--XX--\r\n", FORM, "part 1 has no name"),
    (form(*[part("tags", "ab")] * 1025), FORM, "more than 1024 parts"),
    (b"--XX\r\n" + b"A: " + b"x" * 100_000 + b"\r\n\r\nx\r\n--XX--\r\n", FORM, "cannot be read"),
]


@pytest.mark.parametrize(("body", "content_type", "told"), MALFORMED)
async def test_a_body_that_cannot_be_read_says_where(
    server: Server, engine: MemoryEngine, body: bytes, content_type: str, told: str
) -> None:
    failure = await refused(server, body, content_type)
    assert failure.info.reason == "MALFORMED_REQUEST"
    assert told in failure.message
    assert not engine.runs
    assert not server.stored_files()


async def test_an_empty_body_is_an_empty_document(server: Server) -> None:
    assert (await refused(server, b"", JSON)).violations == {"text": "value is required"}


@pytest.mark.parametrize("size", [1, 7, 1 << 20])
async def test_a_form_is_read_however_it_is_cut(server: Server, engine: MemoryEngine, size: int) -> None:
    body = form(
        part("text", "hällo"),
        part("count", "8"),
        part("ratio", "1.5"),
        part("flag", "TRUE"),
        part("data", b"\x00\xff"),
        part("speed", "slow"),
        part("at", "2031-01-31T12:00:00Z"),
        part("wait", "2m"),
        part("extra", '{"a": [1]}'),
        part("tags", "ab"),
        part("tags", "cd"),
        part("author", '{"name": "Ada"}', content_type=JSON),
        part("document", PAGE, "page.png", "image/png"),
        part("pages", PAGE, "1.png"),
        part("pages", b"other", "2.png"),
        part("execution_mode", "sync"),
        part("options", '{"labels": {"team": "a"}}'),
    )
    execution = await server.post(in_pieces(body, size), FORM)
    record = engine.runs[execution.execution_id].record
    inputs = dict(record.inputs)
    document, pages = inputs.pop("document"), inputs.pop("pages")
    assert (document.name, document.content_type, document.size_bytes) == ("page.png", "image/png", len(PAGE))
    assert [page.name for page in pages] == ["1.png", "2.png"]
    assert document.file_id.startswith(f"{execution.execution_id}/")
    assert inputs.pop("at").isoformat() == "2031-01-31T12:00:00+00:00"
    assert inputs.pop("wait").total_seconds() == 120
    assert inputs == {
        "text": "hällo",
        "count": 8,
        "ratio": 1.5,
        "flag": True,
        "data": b"\x00\xff",
        "speed": "Slow",
        "extra": {"a": [1]},
        "tags": ["ab", "cd"],
        "author": {"name": "Ada"},
    }
    assert (execution.status, dict(record.labels)) == (3, {"team": "a"})
    assert {path.read_bytes() for path in server.stored_files()} == {PAGE, b"other"}


async def test_every_mistake_of_a_form_is_told_and_its_files_are_gone(server: Server, engine: MemoryEngine) -> None:
    body = form(
        part("document", PAGE, "page.png"),
        part("document", PAGE, "page.png"),
        part("txet", "hello"),
        part("count", "many"),
        part("ratio", "1,5"),
        part("flag", "yes"),
        part("extra", "{"),
        part("copy", b"\xff"),
        part("pages", b"", "empty.png"),
        part("author", "Ada"),
    )
    failure = await refused(server, body, FORM)
    assert failure.violations == {
        "document": "is given more than once",
        "txet": "`everything` v1 has no such input; did you mean `text`?",
        "count": "must be a whole number, not text",
        "ratio": "must be a number, not text",
        "flag": "must be true or false, not text",
        "extra": "the part is no valid JSON: line 1, column 2: Expecting property name enclosed in double quotes",
        "copy": "is no UTF-8 at byte 0",
        "pages[0]": f"the file is empty; {SEND}",
        "author": "the part is no valid JSON: line 1, column 1: Expecting value",
        "text": "value is required",
    }
    assert not engine.runs
    assert not server.stored_files()


@pytest.mark.parametrize(
    ("name", "limit"), [("document", MAX_FILE_BYTES), ("pages", MAX_PAGE_BYTES)], ids=["server", "flow"]
)
async def test_an_upload_ends_where_it_grows_too_large(server: Server, name: str, limit: int) -> None:
    body = form(part("text", "ok"), part(name, b"x" * (limit + 1), "big.png"))
    failure = await refused(server, body, FORM)
    assert failure.info.reason == "FILE_TOO_LARGE"
    assert failure.violations == {name: f"the file is larger than {limit} bytes; send a smaller one"}
    assert not server.stored_files()


@pytest.mark.parametrize("content_type", [JSON, FORM])
async def test_a_body_without_end_is_refused_before_it_is_held(server: Server, content_type: str) -> None:
    chunks = [part("tags", "ab"), *[b"x" * 1024] * 512]
    reason = await asyncio.to_thread(reason_of_upload, server, chunks, content_type)
    assert reason in ("FILE_TOO_LARGE", "INVALID_INPUT")
    assert not server.stored_files()


def reason_of_upload(server: Server, chunks: list[bytes], content_type: str) -> str:
    """Why an upload was refused, by the blocking client: the asynchronous one may take the server's early answer to a
    body that it still sends for an error of its own."""
    bodies = (httpbody_pb2.HttpBody(content_type=content_type, data=chunk).SerializeToString() for chunk in chunks)
    with grpc.insecure_channel(server.address) as channel:
        upload: Any = channel.stream_unary(f"/{server.contract.service}/ExecuteHttp")
        with pytest.raises(grpc.RpcError) as caught:
            upload(bodies, timeout=10)
    status = rpc_status.from_call(cast("Any", caught.value))
    assert status is not None
    info = error_details_pb2.ErrorInfo()
    assert any(detail.Unpack(info) for detail in status.details)
    return str(info.reason)


@pytest.mark.parametrize("content", ["page.png", b"\xff\xd8"])
async def test_a_part_without_filename_where_a_file_belongs_says_how_files_are_sent(
    server: Server, content: bytes | str
) -> None:
    failure = await refused(server, form(part("text", "ok"), part("document", content)), FORM)
    assert failure.violations == {"document": "must be a file, sent with a filename (curl: `-F document=@file`)"}


async def test_a_number_in_a_form_that_nests_without_end_is_a_violation(server: Server) -> None:
    failure = await refused(server, form(part("text", "ok"), part("ratio", "[" * 200_000)), FORM)
    assert failure.violations == {"ratio": "must be a number, not text"}


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b'{"text": "ok", "former": {"a": 1}, "author": {"name": "Ada", "nickname": "A"}}', JSON),
        (
            form(
                part("text", "ok"),
                part("former", PAGE, "a.png"),
                part("former_list", "a"),
                part("former_list", "b"),
                part("author", '{"name": "Ada", "nickname": "A"}'),
            ),
            FORM,
        ),
    ],
    ids=["json", "form"],
)
async def test_a_client_of_an_earlier_version_may_send_what_the_flow_has_given_up(
    server: Server, engine: MemoryEngine, body: bytes, content_type: str
) -> None:
    execution = await server.post([body], content_type)
    inputs = engine.runs[execution.execution_id].record.inputs
    assert inputs["author"] == {"name": "Ada"}
    assert "former" not in inputs
    assert not server.stored_files()


@pytest.mark.parametrize("content_type", [JSON, FORM])
async def test_an_integer_that_no_64_bits_hold_is_stored_as_a_float_wherever_it_is(
    server: Server, engine: MemoryEngine, content_type: str
) -> None:
    extra = '{"a": [18446744073709551616, {"b": -9007199254740993, "c": 9007199254740992}]}'
    bodies = {
        JSON: f'{{"text": "ok", "extra": {extra}}}'.encode(),
        FORM: form(part("text", "ok"), part("extra", extra)),
    }
    execution = await server.post([bodies[content_type]], content_type)
    stored = decode_value(encode_value(engine.runs[execution.execution_id].record.inputs["extra"]))
    assert repr(stored) == repr({"a": [2.0**64, {"b": -(2.0**53), "c": 2**53}]})


DEFAULTS: dict[str, NativeValue] = {"tags": ["ab"], "weights": {"x": 1.5}, "author": {"name": "Ada"}}


@pytest.mark.parametrize(
    ("body", "content_type"),
    [(b'{"text": "ok", "tags": ["cd"]}', JSON), (form(part("text", "ok"), part("tags", "cd")), FORM)],
    ids=["json", "form"],
)
async def test_inputs_may_default_to_lists_maps_and_objects(
    everything: Bundle, engine: MemoryEngine, tmp_path: Path, body: bytes, content_type: str
) -> None:
    fields = tuple(replace(field, default=DEFAULTS.get(field.name, field.default)) for field in PLAN.inputs.fields)
    bundle = Bundle.of(everything.descriptors, (replace(PLAN, inputs=ObjectType(fields)),))
    async with serving(bundle, engine, tmp_path / "others") as server:
        execution = await server.post([body], content_type)
    inputs = engine.runs[execution.execution_id].record.inputs
    assert {name: inputs[name] for name in DEFAULTS} == {**DEFAULTS, "tags": ["cd"]}


async def test_a_form_with_a_request_id_keeps_its_files_under_that_run(server: Server, engine: MemoryEngine) -> None:
    body = form(part("text", "ok"), part("document", PAGE, "a.png"), part("options", '{"request_id": "r1"}'))
    first, second = await server.post([body], FORM), await server.post([body], FORM)
    assert first.execution_id == second.execution_id
    reference = engine.runs[first.execution_id].record.inputs["document"]
    assert reference.file_id.startswith(f"{first.execution_id}/")
    assert [path.parent.name for path in server.stored_files()] == [first.execution_id]


async def test_the_files_of_a_form_whose_run_does_not_start_are_gone(server: Server, engine: MemoryEngine) -> None:
    engine.refusal = FlowError(Reason.STORE_UNAVAILABLE, "Redis is away")
    failure = await refused(server, form(part("text", "ok"), part("document", PAGE, "a.png")), FORM)
    assert failure.info.reason == "STORE_UNAVAILABLE"
    assert not server.stored_files()


async def test_a_deadline_from_the_edge_shortens_a_sync_run(server: Server, engine: MemoryEngine) -> None:
    execution = await server.post([b'{"text": "ok", "execution_mode": "SYNC"}'], JSON)
    assert engine.runs[execution.execution_id].options.timeout_ms is not None


async def test_an_async_post_answers_queued(server: Server, engine: MemoryEngine) -> None:
    engine.script = stall
    assert (await server.post([b'{"text": "ok"}'], JSON)).status == 1


@pytest.mark.parametrize("body", [b'{"text": "ok", "execution_mode": 2}', b'{"text": "ok", "executionMode": "SYNC"}'])
async def test_other_spellings_of_the_mode_are_told(server: Server, body: bytes) -> None:
    failure: Any = await refused(server, body, JSON)
    assert "execution_mode" in str(failure.violations)
