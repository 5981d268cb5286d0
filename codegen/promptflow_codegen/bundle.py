"""The bundle: everything generated that a server needs, addressed by digest.

On disk a bundle is a folder `<digest>/` with `descriptors.pb` (a FileDescriptorSet in dependency order, with the
imports and google/rpc's error types), `plans.json`, and `documents/` with what the server hands out as it is, such as
OpenAPI; `current` beside it names the digest in use.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from promptflow_codegen.plan import FlowPlan

FORMAT = 2
DESCRIPTORS, PLANS, DOCUMENTS, CURRENT = "descriptors.pb", "plans.json", "documents", "current"
_PLANS = TypeAdapter(tuple[FlowPlan, ...])


class BundleError(Exception):
    """A bundle that cannot be used; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """Descriptors and plans of all flows, sorted by name and version; `documents` by file name.

    `plans_data` is the content of `plans.json`: to write thousands of plans anew would take longer than all else.
    """

    descriptors: bytes
    plans: tuple[FlowPlan, ...]
    digest: str
    documents: Mapping[str, bytes] = field(default_factory=dict[str, bytes])
    plans_data: bytes = field(default=b"", repr=False, compare=False)
    _by_name: Mapping[tuple[str, int], FlowPlan] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_name", {(plan.name, plan.version): plan for plan in self.plans})

    @classmethod
    def of(
        cls,
        descriptors: bytes,
        plans: tuple[FlowPlan, ...],
        documents: Mapping[str, bytes] | None = None,
        plans_data: bytes | None = None,
    ) -> Bundle:
        """Put a bundle together and name it by its content; `plans_data` is what `plans_json` makes of the plans."""
        documents = documents or {}
        data = plans_json(plans) if plans_data is None else plans_data
        return cls(descriptors, plans, _digest_of(descriptors, data, documents), documents, data)

    def plan(self, flow: str, version: int) -> FlowPlan | None:
        """The plan of one major version of a flow, if it is here."""
        return self._by_name.get((flow, version))


def load_bundle(folder: Path, digest: str | None = None) -> Bundle:
    """Read one bundle of `folder`, the current one by default.

    Raises:
        BundleError: there is none, it is of a newer format, or its content does not match its digest.
    """
    try:
        digest = digest or (folder / CURRENT).read_text("utf-8").strip()
        descriptors, plans, documents = _read(folder / digest)
    except (OSError, ValueError) as error:
        raise BundleError(f"no bundle in {folder}: {error}; run `promptflow generate`") from None
    bundle = Bundle.of(descriptors, parse_plans(plans, digest), documents, plans)
    if bundle.digest != digest:
        raise BundleError(f"bundle {digest} was changed after it was made; run `promptflow generate`")
    return bundle


def is_saved(bundle: Bundle, folder: Path) -> bool:
    """Whether a bundle lies in `folder` as it should."""
    try:
        return _digest_of(*_read(folder / bundle.digest)) == bundle.digest
    except OSError:
        return False


def _read(folder: Path) -> tuple[bytes, bytes, Mapping[str, bytes]]:
    documents = {path.name: path.read_bytes() for path in sorted((folder / DOCUMENTS).glob("*"))}
    return (folder / DESCRIPTORS).read_bytes(), (folder / PLANS).read_bytes(), documents


def parse_plans(data: bytes, digest: str) -> tuple[FlowPlan, ...]:
    """The plans of a bundle from what `plans_json` wrote; `digest` names the bundle in messages.

    Raises:
        BundleError: they are of another format, or no plans.
    """
    try:
        document: dict[str, Any] = json.loads(data)
        made = document.get("format")
    except (AttributeError, RecursionError, ValueError) as error:
        raise BundleError(f"bundle {digest} is damaged: {error}; run `promptflow generate`") from None
    if made != FORMAT:
        raise BundleError(
            f"bundle {digest} has format {made}, this release reads {FORMAT}; "
            "run `promptflow generate` with this release"
        )
    try:
        return _PLANS.validate_python(document["plans"], strict=False)
    except (KeyError, RecursionError, ValidationError) as error:
        raise BundleError(f"bundle {digest} is damaged: {error}; run `promptflow generate`") from None


def plans_json(plans: tuple[FlowPlan, ...]) -> bytes:
    """The content of `plans.json`; equal plans give equal bytes."""
    document = {"format": FORMAT, "plans": _PLANS.dump_python(plans, mode="json")}
    # Without line breaks: only so does the fast encoder take it, and a thousand flows are some megabytes.
    return json.dumps(document, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()


def definition_digest(plan: FlowPlan) -> str:
    """Equal for two plans that are the same."""
    return hashlib.sha256(plans_json((plan,))).hexdigest()[:16]


def _digest_of(descriptors: bytes, plans: bytes, documents: Mapping[str, bytes]) -> str:
    content = hashlib.sha256(descriptors)
    content.update(plans)
    for name in sorted(documents):
        content.update(f"\n{name}\n".encode() + documents[name])
    return content.hexdigest()[:16]
