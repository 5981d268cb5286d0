"""What was measured, beside what was aimed at: how the benchmarks of many flows tell their figures.

Neighbours on the machine stretch the clock, hardly the processor time: hence both, and the load, stand on each line.
"""

from __future__ import annotations

import os
import resource
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Taken:
    """What one round took: by the clock, and of the processor."""

    wall_s: float
    cpu_s: float


def taken(call: Callable[[], object]) -> Taken:
    """Call something here; the processor time of processes that it starts and waits for counts too."""
    began, began_cpu = time.perf_counter(), _own_cpu_s()
    call()
    return Taken(time.perf_counter() - began, _own_cpu_s() - began_cpu)


def tell(what: str, rounds: Sequence[Taken], *, target_s: float | None = None) -> bool:
    """Print the median of `rounds`, and answer whether it is within the target."""
    median_s = statistics.median(each.wall_s for each in rounds)
    cpu_s = statistics.median(each.cpu_s for each in rounds)
    is_met = target_s is None or median_s <= target_s
    verdict = "    " if target_s is None else "PASS" if is_met else "MISS"
    aim = "no target" if target_s is None else f"target {target_s:g} s"
    print(
        f"{verdict} {what}: {median_s:.2f} s ({aim}), {cpu_s:.2f} s of processor; load {os.getloadavg()[0]:.1f} on "
        f"{os.cpu_count()} cores; rounds {', '.join(f'{each.wall_s:.2f}' for each in rounds)}",
        flush=True,
    )
    return is_met


def cpu_s_of(pid: int) -> float:
    """Processor time of a process and of all below it; of those that ended where they were waited for."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    own_s = sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    listed = [path.read_text().split() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    return own_s + sum(cpu_s_of(int(child)) for children in listed for child in children)


def _own_cpu_s() -> float:
    waited_for = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + waited_for.ru_utime + waited_for.ru_stime
