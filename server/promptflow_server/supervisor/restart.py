"""When a part that died is started again, and when no more."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """A part is given up that was never ready and `max_quick_deaths` times in a row died within `steady_s`."""

    max_quick_deaths: int = 5
    steady_s: float = 10.0
    first_delay_s: float = 0.2
    max_delay_s: float = 5.0


@dataclass(frozen=True, slots=True)
class DeathRecord:
    """How often in a row a part died soon after its start."""

    quick_deaths: int = 0

    def with_death(self, lived_s: float, policy: RestartPolicy) -> DeathRecord:
        """The record after a life of `lived_s`; a long one begins a new row."""
        return DeathRecord(1 if lived_s >= policy.steady_s else self.quick_deaths + 1)

    def is_hopeless(self, policy: RestartPolicy) -> bool:
        """Whether another start would be one too many."""
        return self.quick_deaths >= policy.max_quick_deaths

    def delay_s(self, policy: RestartPolicy) -> float:
        """How long to wait before the next start: doubles with each quick death."""
        return float(min(policy.max_delay_s, policy.first_delay_s * 2 ** (self.quick_deaths - 1)))
