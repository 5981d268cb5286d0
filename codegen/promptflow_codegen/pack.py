"""A bundle as bytes on the wire and in the store, and back; nothing in them is ever executed or unpickled.

One readable line, `promptflow-bundle FORMAT RELEASE`, then a zlib stream: a line of JSON that names the parts and their
sizes, and the parts themselves, one after the other. Equal bundles give equal bytes.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from promptflow_codegen.bundle import (
    DESCRIPTORS,
    DOCUMENTS,
    FORMAT,
    PLANS,
    Bundle,
    BundleError,
    parse_plans,
)

MAX_PACKED_BYTES = 64 << 20
MAX_BUNDLE_BYTES = 256 << 20
MAX_DOCUMENTS = 64

_MAGIC = b"promptflow-bundle "
_MAX_LINE = 64
_MAX_INDEX = 64 << 10
_FIRST_LINE = re.compile(rb"promptflow-bundle ([0-9]{1,6}) ([0-9A-Za-z.+-]{1,32})")
_DOCUMENT_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_LEVEL = 1
"""Bundles are text that repeats itself: more effort saves little and costs the time of a swap."""


def pack(bundle: Bundle) -> bytes:
    """The bytes of a bundle."""
    parts = {DESCRIPTORS: bundle.descriptors, PLANS: bundle.plans_data}
    parts |= {f"{DOCUMENTS}/{name}": bundle.documents[name] for name in sorted(bundle.documents)}
    index = {"digest": bundle.digest, "parts": [[name, len(data)] for name, data in parts.items()]}
    body = b"".join([json.dumps(index).encode(), b"\n", *parts.values()])
    return b"%b%d %b\n%b" % (_MAGIC, FORMAT, _release().encode(), zlib.compress(body, _LEVEL))


@dataclass(frozen=True, slots=True)
class Unpacked:
    """The parts of a bundle, and the digest that it claims to have."""

    digest: str
    parts: Mapping[str, bytes]

    @property
    def descriptors(self) -> bytes:
        """A serialized FileDescriptorSet, as yet unread."""
        return self.parts[DESCRIPTORS]

    def bundle(self) -> Bundle:
        """The bundle; what it holds beyond its shape is not judged here.

        Raises:
            BundleError: it is damaged, or not what its digest says.
        """
        documents = {name.removeprefix(f"{DOCUMENTS}/"): data for name, data in self.parts.items() if "/" in name}
        plans = parse_plans(self.parts[PLANS], self.digest)
        bundle = Bundle.of(self.descriptors, plans, documents, self.parts[PLANS])
        if bundle.digest != self.digest:
            raise BundleError(
                f"the bundle says that it is {self.digest}, but its content is {bundle.digest}; pack it again"
            )
        return bundle


def unpack(data: bytes, *, max_bytes: int = MAX_BUNDLE_BYTES) -> Bundle:
    """The bundle that `pack` made these bytes of; what it holds beyond its shape is not judged here.

    Raises:
        BundleError: they are no bundle, one of another format, larger than `max_bytes`, or not what the digest says.
    """
    return open_packed(data, max_bytes=max_bytes).bundle()


def open_packed(data: bytes, *, max_bytes: int = MAX_BUNDLE_BYTES) -> Unpacked:
    """The parts that `pack` made these bytes of, before they are read.

    Raises:
        BundleError: they are no bundle, one of another format, or larger than `max_bytes`.
    """
    body = _inflate(_body_of(data), max_bytes)
    line, _, rest = body.partition(b"\n")
    digest, sizes = _index_of(line)
    if sum(sizes.values()) != len(rest):
        raise BundleError("the bundle is damaged: its parts are not as long as it says; pack it again")
    parts, begin = dict[str, bytes](), 0
    for name, size in sizes.items():
        parts[name] = rest[begin : begin + size]
        begin += size
    return Unpacked(digest, parts)


def _body_of(data: bytes) -> memoryview:
    if len(data) > MAX_PACKED_BYTES:
        raise BundleError(f"the bundle has {len(data) >> 20} MiB; {MAX_PACKED_BYTES >> 20} MiB are the limit")
    end = data.find(b"\n", 0, _MAX_LINE)
    found = _FIRST_LINE.fullmatch(data, 0, max(end, 0))
    if found is None:
        raise BundleError("this is no bundle; send what `promptflow publish` packs")
    packed_format, release = int(found[1]), found[2].decode()
    if packed_format != FORMAT:
        what = "upgrade this server to it" if packed_format > FORMAT else "generate and publish with this release"
        raise BundleError(
            f"the bundle has format {packed_format} and was packed by PromptFlow {release}; this is PromptFlow "
            f"{_release()}, which reads format {FORMAT}: {what}"
        )
    return memoryview(data)[end + 1 :]


def _inflate(packed: memoryview, max_bytes: int) -> bytes:
    inflater = zlib.decompressobj()
    try:
        body = inflater.decompress(packed, max_bytes + _MAX_INDEX)
    except zlib.error as error:
        raise BundleError(f"the bundle is damaged: {error}; pack it again") from None
    if len(body) >= max_bytes + _MAX_INDEX or inflater.unconsumed_tail:
        raise BundleError(f"the bundle unpacks to more than {max_bytes >> 20} MiB; split the project")
    if not inflater.eof or inflater.unused_data:
        raise BundleError("the bundle is damaged: it ends too early or too late; pack it again")
    return body


def _index_of(line: bytes) -> tuple[str, Mapping[str, int]]:
    """The digest, and the parts in order with their sizes."""
    try:
        if len(line) > _MAX_INDEX:
            raise ValueError("an index as long as a book")
        document: Any = json.loads(line)
        digest, sizes = document["digest"], dict(document["parts"])
    except (KeyError, TypeError, ValueError, RecursionError):
        raise BundleError("the bundle is damaged: it does not say what is in it; pack it again") from None
    names = list(sizes)
    are_named = names[:2] == [DESCRIPTORS, PLANS] and all(map(_is_document, names[2:]))
    are_sized = all(type(size) is int and size >= 0 for size in sizes.values())
    if not (are_named and are_sized and len(names) <= MAX_DOCUMENTS and _is_digest(digest)):
        raise BundleError("the bundle is damaged: it does not say what is in it; pack it again")
    return digest, sizes


def _is_document(name: Any) -> bool:
    folder, _, file = name.partition("/") if isinstance(name, str) else ("", "", "")
    return folder == DOCUMENTS and _DOCUMENT_NAME.fullmatch(file) is not None


def _is_digest(digest: Any) -> bool:
    return isinstance(digest, str) and re.fullmatch(r"[0-9a-f]{16}", digest) is not None


def _release() -> str:
    return version("promptflow-grpc")
