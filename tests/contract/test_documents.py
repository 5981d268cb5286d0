"""The documents of a bundle: read off the loop, and once."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.api import httpbody_pb2  # type: ignore[import-untyped]
from google.protobuf.wrappers_pb2 import StringValue
from tests.contract.memory_engine import MemoryEngine
from tests.contract.serving import serving

from promptflow_codegen.bundle import Bundle
from promptflow_codegen.emit.openapi import OPENAPI
from promptflow_server.gateway.documents import SERVICE

OPENAPI_31 = b'{"openapi": "3.1.1", "info": {"title": "t", "version": "1"}, "paths": {}}'


async def asked(channel: grpc.aio.Channel, method: str, name: str = "") -> Any:
    """The body that a method of the documents' service answers."""
    call: Any = channel.unary_unary(
        f"/{SERVICE}/{method}",
        request_serializer=StringValue.SerializeToString,
        response_deserializer=httpbody_pb2.HttpBody.FromString,
    )
    return await call(StringValue(value=name), timeout=5)


async def test_files_are_read_in_a_thread_and_once(
    everything: Bundle, engine: MemoryEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[tuple[str, bool]] = []
    read_bytes = Path.read_bytes

    def spied(path: Path) -> bytes:
        read.append((path.name, threading.current_thread() is threading.main_thread()))
        return read_bytes(path)

    bundle = Bundle.of(everything.descriptors, everything.plans, {OPENAPI: OPENAPI_31})
    async with serving(bundle, engine, tmp_path / "files") as server:
        monkeypatch.setattr(Path, "read_bytes", spied)
        names = ("docs.js", "docs.css", "swagger-ui-bundle.js", "swagger-ui.css")
        bodies = await asyncio.gather(*(asked(server.channel, "DocsAsset", name) for name in names * 3))
        pages = await asyncio.gather(*(asked(server.channel, "DocsPage") for _ in range(3)))
    assert all(body.data for body in (*bodies, *pages))
    assert [body.data for body in bodies[:4]] == [body.data for body in bodies[4:8]]
    assert sorted(read) == sorted((name, False) for name in ("index.html", *names))


async def test_openapi_comes_in_both_versions(everything: Bundle, engine: MemoryEngine, tmp_path: Path) -> None:
    bundle = Bundle.of(everything.descriptors, everything.plans, {OPENAPI: OPENAPI_31})
    async with serving(bundle, engine, tmp_path / "files") as server:
        older, *newer = [await asked(server.channel, method) for method in ("OpenApi", "OpenApi32", "OpenApi32")]
    assert older.data == OPENAPI_31
    assert b"3.2" in newer[0].data
    assert newer[0] == newer[1]


@pytest.mark.parametrize(("method", "name"), [("OpenApi", ""), ("OpenApi32", ""), ("DocsAsset", "../x")])
async def test_what_is_not_there_is_told(
    everything: Bundle, engine: MemoryEngine, tmp_path: Path, method: str, name: str
) -> None:
    async with serving(everything, engine, tmp_path / "files") as server:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await asked(server.channel, method, name)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
