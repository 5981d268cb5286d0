"""The documents of one bundle over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Generic, TypeVar

import grpc
from google.api import httpbody_pb2  # type: ignore[import-untyped]
from google.protobuf.wrappers_pb2 import StringValue

from promptflow_codegen.bundle import Bundle
from promptflow_codegen.emit.openapi import OPENAPI, openapi_32
from promptflow_server.gateway.documents import SERVICE

_Made = TypeVar("_Made")

_HttpBody: Any = httpbody_pb2.HttpBody
_PAGE = Path(__file__).resolve().parent / "page"
_TYPES: Mapping[str, str] = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
}
_LIBRARY = ("swagger-ui-bundle.js", "swagger-ui.css")
_INDEX, _OWN = "index.html", ("docs.js", "docs.css")
_ASSETS = (*_OWN, *_LIBRARY)
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
_ASSET_MAX_AGE_S = 3_600


def document_handlers(bundle: Bundle) -> list[grpc.GenericRpcHandler]:
    """The handlers of the documents' service; they stand in no reflection, for they mean nothing to gRPC clients."""
    servicer = _DocumentsServicer(bundle.documents)
    # A DocumentRequest on the wire is what a StringValue is: one text.
    read, write = StringValue.FromString, _HttpBody.SerializeToString
    methods = {
        "OpenApi": servicer.openapi_31,
        "OpenApi32": servicer.openapi_32,
        "DocsPage": servicer.page,
        "DocsAsset": servicer.asset,
    }
    handlers = {name: grpc.unary_unary_rpc_method_handler(method, read, write) for name, method in methods.items()}
    return [grpc.method_handlers_generic_handler(SERVICE, handlers)]


class _Once(Generic[_Made]):
    """What takes a while to make: made in a thread when it is first asked for, and kept."""

    def __init__(self, make: Callable[[], _Made]) -> None:
        self._make = make
        self._made: _Made | None = None
        self._turn = asyncio.Lock()

    async def get(self) -> _Made:
        async with self._turn:
            if self._made is None:
                self._made = await asyncio.to_thread(self._make)
            return self._made


class _DocumentsServicer:
    """Answers with bodies."""

    def __init__(self, documents: Mapping[str, bytes]) -> None:
        self._documents = documents
        self._newer = _Once(lambda: openapi_32(documents[OPENAPI]))
        self._own = _Once(_own_files)
        self._library = _Once(_library_files)

    async def openapi_31(self, request: Any, context: Any) -> Any:
        """OpenAPI 3.1."""
        del request
        return await self._answer(await self._openapi(context), context)

    async def openapi_32(self, request: Any, context: Any) -> Any:
        """OpenAPI 3.2, which knows streams; made when it is first asked for."""
        del request
        await self._openapi(context)
        return await self._answer(await self._newer.get(), context)

    async def page(self, request: Any, context: Any) -> Any:
        """The page for people."""
        del request
        await context.send_initial_metadata((("content-security-policy", _POLICY), ("cache-control", "no-cache")))
        return _body(_INDEX, (await self._own.get())[_INDEX])

    async def asset(self, request: Any, context: Any) -> Any:
        """A script or a sheet of the page."""
        name: str = request.value
        if name not in _ASSETS:
            await context.abort(grpc.StatusCode.NOT_FOUND, "the page has no such part; it is at /docs")
        await context.send_initial_metadata((("cache-control", f"max-age={_ASSET_MAX_AGE_S}"),))
        files = await (self._library if name in _LIBRARY else self._own).get()
        return _body(name, files[name])

    async def _openapi(self, context: Any) -> bytes:
        if OPENAPI not in self._documents:
            await context.abort(grpc.StatusCode.NOT_FOUND, "the bundle has no OpenAPI; run `promptflow generate`")
        return self._documents[OPENAPI]

    async def _answer(self, content: bytes, context: Any) -> Any:
        await context.send_initial_metadata((("cache-control", "no-cache"),))
        return _body(OPENAPI, content)


def _body(name: str, content: bytes) -> Any:
    return _HttpBody(content_type=_TYPES[Path(name).suffix], data=content)


def _own_files() -> Mapping[str, bytes]:
    return {name: (_PAGE / name).read_bytes() for name in (_INDEX, *_OWN)}


def _library_files() -> Mapping[str, bytes]:
    folder = _library_folder()
    return {name: (folder / name).read_bytes() for name in _LIBRARY}


def _library_folder() -> Path:
    # Found, not imported: the package brings web frameworks' adapters that nobody needs here.
    spec = find_spec("swagger_ui")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("the package `swagger-ui-py` is not installed; install PromptFlow anew")
    return Path(spec.submodule_search_locations[0]) / "static"
