"""Bundles as bytes: they come back, and nothing else that someone may send does."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable

import pytest

from promptflow_codegen.bundle import FORMAT, Bundle, BundleError, plans_json
from promptflow_codegen.pack import pack, unpack
from promptflow_codegen.plan import FlowPlan
from promptflow_core.types import ObjectType

PLAN = FlowPlan("hello", 1, "a.hello.v1", "HelloService", ObjectType(()), (), ObjectType(()))
BUNDLE = Bundle.of(b"descriptors", (PLAN,), {"openapi.json": b"{}"})


def test_a_bundle_comes_back_and_equal_ones_are_equal_bytes() -> None:
    packed = pack(BUNDLE)
    assert unpack(packed) == BUNDLE
    assert pack(Bundle.of(b"descriptors", (PLAN,), {"openapi.json": b"{}"})) == packed


def forged(
    *,
    digest: object = BUNDLE.digest,
    parts: dict[str, bytes] | None = None,
    index: bytes | None = None,
    tail: bytes = b"",
) -> bytes:
    """A bundle packed by somebody else."""
    if parts is None:
        parts = {"descriptors.pb": b"descriptors", "plans.json": plans_json((PLAN,)), "documents/openapi.json": b"{}"}
    line = (
        index or json.dumps({"digest": digest, "parts": [[name, len(data)] for name, data in parts.items()]}).encode()
    )
    body = line + b"\n" + b"".join(parts.values()) + tail
    return b"promptflow-bundle %d 0.1.0\n" % FORMAT + zlib.compress(body)


def with_plans(plans: bytes) -> bytes:
    return forged(parts={"descriptors.pb": b"descriptors", "plans.json": plans})


def test_the_forger_can_pack_as_we_do() -> None:
    assert unpack(forged()) == BUNDLE


HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "nothing": (lambda: b"", "no bundle"),
    "a zip": (lambda: b"PK\x03\x04" + bytes(64), "no bundle"),
    "a pickle": (lambda: b"\x80\x04\x95" + bytes(64), "no bundle"),
    "a first line without end": (lambda: b"promptflow-bundle 2 " + b"1" * 10_000, "no bundle"),
    "a newer format": (
        lambda: b"promptflow-bundle 9 4.2.0\n" + bytes(9),
        "format 9 and was packed by PromptFlow 4.2.0.*upgrade this server",
    ),
    "an older format": (lambda: b"promptflow-bundle 1 0.0.1\n" + bytes(9), "generate and publish with this release"),
    "no compressed data": (lambda: pack(BUNDLE)[:28] + b"rubbish", "damaged"),
    "half of one": (lambda: pack(BUNDLE)[:-9], "too early"),
    "one and more": (lambda: pack(BUNDLE) + b"more", "too early or too late"),
    "a bomb": (
        lambda: b"promptflow-bundle %d 0.1.0\n" % FORMAT + zlib.compress(bytes(80 << 20), 9),
        "more than 16 MiB",
    ),
    "another digest": (lambda: forged(digest="0123456789abcdef"), "but its content is"),
    "a path for a digest": (lambda: forged(digest="../../etc/passwd"), "does not say what is in it"),
    "a number for a digest": (lambda: forged(digest=7), "does not say what is in it"),
    "a path for a document": (
        lambda: forged(parts={"descriptors.pb": b"", "plans.json": b"", "documents/../../x": b""}),
        "does not say what is in it",
    ),
    "parts in another order": (
        lambda: forged(parts={"plans.json": b"", "descriptors.pb": b""}),
        "does not say what is in it",
    ),
    "an index that is no index": (lambda: forged(index=b"[1, 2]"), "does not say what is in it"),
    "an index that nests for ever": (lambda: forged(index=b"[" * 60_000), "does not say what is in it"),
    "negative sizes": (
        lambda: forged(index=b'{"digest": "0123456789abcdef", "parts": [["descriptors.pb", -1], ["plans.json", 1]]}'),
        "does not say what is in it",
    ),
    "sizes that do not add up": (lambda: forged(tail=b"x"), "as long as it says"),
    "plans that are no JSON": (lambda: with_plans(b"{"), "damaged"),
    "plans that nest for ever": (lambda: with_plans(b"[" * 100_000), "damaged"),
    "plans of another format": (lambda: with_plans(b'{"format": 7, "plans": []}'), "format 7"),
    "plans that are no plans": (lambda: with_plans(b'{"format": %d, "plans": [{"name": 1}]}' % FORMAT), "damaged"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_bundle_is_refused_with_what_to_do(name: str) -> None:
    make, message = HOSTILE[name]
    with pytest.raises(BundleError, match=message):
        unpack(make(), max_bytes=16 << 20)
