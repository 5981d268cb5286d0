"""What the supervisor knows of a part."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

Probe = Callable[[int], Awaitable[bool]]
"""Whether a part is ready now, given the id of its process; answers soon, and never raises."""

Drain = Callable[[], Awaitable[None]]
"""Asks a part to finish what it does; returns when it has."""


@dataclass(frozen=True, slots=True)
class Part:
    """One process to keep. `command` is run as it stands; secrets go into `environment`, which is all it gets.

    It is ready once it has written `ready_line` and `is_ready` says so, where they are given; killed where that takes
    longer than `ready_within_s`. It stops by `drain`, then SIGTERM, then SIGKILL, each with its time.
    """

    name: str
    command: tuple[str, ...]
    is_ready: Probe | None = None
    ready_line: str = ""
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    directory: Path | None = None
    ready_within_s: float = 60.0
    drain: Drain | None = None
    drain_within_s: float = 10.0
    stop_within_s: float = 15.0


class PartChange(StrEnum):
    """What can be told of a part."""

    STARTING = "starting"
    READY = "ready"
    DIED = "died"
    STOPPING = "stopping"
    STOPPED = "stopped"
    KILLED = "killed"


@dataclass(frozen=True, slots=True)
class PartEvent:
    """Something happened to a part, `after_s` after it was started or asked to stop."""

    part: str
    change: PartChange
    after_s: float = 0.0
    detail: str = ""


Report = Callable[[PartEvent], None]
