"""What a run would do, without doing it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from promptflow_client.json_values import Json


class PlanDecision(StrEnum):
    """Whether a step would run. UNDECIDED: what other steps find decides; UNSPECIFIED: this release does not know."""

    UNSPECIFIED = "UNSPECIFIED"
    RUNS = "RUNS"
    SKIPPED = "SKIPPED"
    UNDECIDED = "UNDECIDED"


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """One step. Steps of one `stage` (from 0) may run at the same time; `queue` "" runs in the server itself.

    `items` of a for_each, `cost` and `config` are None where other steps, or only a worker, can tell.
    """

    step: str
    executor: str
    queue: str
    needs: tuple[str, ...]
    stage: int
    decision: PlanDecision
    items: int | None
    cost: float | None
    config: Mapping[str, Json] | None


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run with these inputs would do; `steps` are in an order that respects what they need."""

    flow: str
    version: int
    bundle_digest: str
    steps: tuple[PlannedStep, ...]
