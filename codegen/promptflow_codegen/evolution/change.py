"""One difference between two states of a flow."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """What a difference does to callers, the worst first."""

    WIRE = "breaks the wire"
    """Clients of any kind: a call is refused, or an answer cannot be read, or lacks what was promised."""

    JSON = "breaks JSON"
    """Clients that speak JSON alone: the bytes of protobuf are read as before."""

    BEHAVIOUR = "changes behaviour"
    """Calls go through as before, what they do or answer may differ."""

    COMPATIBLE = "compatible"
    """No caller has to know."""

    @property
    def is_breaking(self) -> bool:
        """Whether a client that is out stops working."""
        return self in (Verdict.WIRE, Verdict.JSON)


class Asks(StrEnum):
    """The version of the API that a difference asks for, by semantic versioning."""

    MAJOR = "major"
    MINOR = "minor"
    PATCH = "patch"


@dataclass(frozen=True, slots=True)
class Change:
    """One difference. `path` is in the words of the flow file, "" is the flow as a whole."""

    kind: Verdict
    flow: str
    version: int
    path: str
    message: str
    asks: Asks

    @property
    def order(self) -> tuple[str, int, int, str, str]:
        """By flow and version, the worst first."""
        return self.flow, self.version, list(Verdict).index(self.kind), self.path, self.message


@dataclass(frozen=True, slots=True)
class Finder:
    """Makes the changes of one flow."""

    flow: str
    version: int

    def breaks_wire(self, path: str, message: str) -> Change:
        """Every client may notice."""
        return Change(Verdict.WIRE, self.flow, self.version, path, message, Asks.MAJOR)

    def breaks_json(self, path: str, message: str) -> Change:
        """Clients that speak JSON notice."""
        return Change(Verdict.JSON, self.flow, self.version, path, message, Asks.MAJOR)

    def behaves(self, path: str, message: str) -> Change:
        """Something else happens."""
        return Change(Verdict.BEHAVIOUR, self.flow, self.version, path, message, Asks.MINOR)

    def grows(self, path: str, message: str) -> Change:
        """There is more than there was, and who does not know of it need not."""
        return Change(Verdict.COMPATIBLE, self.flow, self.version, path, message, Asks.MINOR)

    def touches(self, path: str, message: str) -> Change:
        """Words and places."""
        return Change(Verdict.COMPATIBLE, self.flow, self.version, path, message, Asks.PATCH)


def worst(changes: Iterable[Change]) -> Verdict:
    """The verdict on all of them together."""
    verdicts = list(Verdict)
    return min((change.kind for change in changes), key=verdicts.index, default=Verdict.COMPATIBLE)


def asked_for(changes: Iterable[Change]) -> Asks | None:
    """The version that all of them together ask for; None where there is none."""
    steps = list(Asks)
    return min((change.asks for change in changes), key=steps.index, default=None)
