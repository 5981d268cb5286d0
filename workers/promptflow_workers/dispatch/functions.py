"""Server-side functions: a Lua library whose names carry its version."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FunctionLibrary:
    """A library as it is loaded; old and new processes can share a server, since no code ever replaces another."""

    name: str
    code: str

    @classmethod
    def versioned(cls, layout: str, source: str) -> FunctionLibrary:
        """Put a digest of `source` behind `layout` (`pf1`) wherever it begins a name: `pf1_put` → `pf1_0a1b2c3d_put`.

        `layout` names the layout of the keys and moves by hand; the digest moves with every edit of the code.
        """
        name = f"{layout}_{hashlib.sha256(source.encode()).hexdigest()[:8]}"
        return cls(name, re.sub(rf"\b{layout}(?=_|\b)", name, source))

    def qualified(self, function: str) -> str:
        """The name that the server knows a function by."""
        return f"{self.name}_{function}"
