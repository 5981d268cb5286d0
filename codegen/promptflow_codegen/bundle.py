"""The bundle: everything generated that a server needs, addressed by digest.

On disk a bundle is a folder `<digest>/` with `descriptors.pb` (a FileDescriptorSet in dependency order, with the
imports and google/rpc's error types) and `plans.json`; `current` beside it names the digest in use.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from promptflow_codegen.plan import FlowPlan

FORMAT = 1
DESCRIPTORS, PLANS, CURRENT = "descriptors.pb", "plans.json", "current"
_PLANS = TypeAdapter(tuple[FlowPlan, ...])


class BundleError(Exception):
    """A bundle that cannot be used; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """Descriptors and plans of all flows, sorted by name and version."""

    descriptors: bytes
    plans: tuple[FlowPlan, ...]
    digest: str

    @classmethod
    def of(cls, descriptors: bytes, plans: tuple[FlowPlan, ...]) -> Bundle:
        """Put a bundle together and name it by its content."""
        digest = hashlib.sha256(descriptors + plans_json(plans)).hexdigest()[:16]
        return cls(descriptors, plans, digest)

    def plan(self, flow: str, version: int) -> FlowPlan | None:
        """The plan of one major version of a flow, if it is here."""
        return next((plan for plan in self.plans if (plan.name, plan.version) == (flow, version)), None)


def load_bundle(folder: Path, digest: str | None = None) -> Bundle:
    """Read one bundle of `folder`, the current one by default.

    Raises:
        BundleError: there is none, it is of a newer format, or its content does not match its digest.
    """
    try:
        digest = digest or (folder / CURRENT).read_text("utf-8").strip()
        descriptors = (folder / digest / DESCRIPTORS).read_bytes()
        document: dict[str, Any] = json.loads((folder / digest / PLANS).read_bytes())
    except (OSError, ValueError) as error:
        raise BundleError(f"no bundle in {folder}: {error}; run `promptflow generate`") from None
    if document.get("format") != FORMAT:
        raise BundleError(
            f"bundle {digest} has format {document.get('format')}, this release reads {FORMAT}; "
            "run `promptflow generate` with this release"
        )
    try:
        plans = _PLANS.validate_python(document["plans"], strict=False)
    except (KeyError, ValidationError) as error:
        raise BundleError(f"bundle {digest} is damaged: {error}; run `promptflow generate`") from None
    bundle = Bundle.of(descriptors, plans)
    if bundle.digest != digest:
        raise BundleError(f"bundle {digest} was changed after it was made; run `promptflow generate`")
    return bundle


def plans_json(plans: tuple[FlowPlan, ...]) -> bytes:
    """The content of `plans.json`; equal plans give equal bytes."""
    document = {"format": FORMAT, "plans": _PLANS.dump_python(plans, mode="json")}
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False).encode()
