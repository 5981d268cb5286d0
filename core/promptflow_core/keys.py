"""Every Redis key, spelled once. The braces hold the hash slot: a run is one slot, a queue another."""

from __future__ import annotations

PREFIX = "pf"
FLOWS_QUEUE = "flows"


def execution_head(execution_id: str) -> str:
    """HASH: status seq epoch owner sig digest deadline first opens ... of a run."""
    return f"{PREFIX}:{{{execution_id}}}"


def execution_steps(execution_id: str) -> str:
    """HASH: step path -> StepRecord."""
    return f"{PREFIX}:{{{execution_id}}}:s"


def execution_events(execution_id: str) -> str:
    """STREAM with ids `<sequence>-0`; also the sharded channel on which a new sequence is announced."""
    return f"{PREFIX}:{{{execution_id}}}:e"


def queue(name: str) -> str:
    """The prefix of all keys of a queue; the functions of queue.lua append to it."""
    return f"{PREFIX}:{{{name}}}:"


def replies(name: str, process: str) -> str:
    """STREAM: results of the calls that one server process put on a queue."""
    return f"{queue(name)}R:{process}"


def workers(name: str) -> str:
    """ZSET worker -> end of its lease, in ms: those that serve a queue."""
    return f"{queue(name)}workers"


def worker_channel(name: str, worker: str) -> str:
    """Sharded channel: what a worker of a queue is told, that there is work or to stop."""
    return f"{queue(name)}in:{worker}"


def open_runs() -> str:
    """ZSET execution id -> created ms: runs that have not ended, beside the queue `flows`."""
    return f"{queue(FLOWS_QUEUE)}open"


def run_index() -> str:
    """ZSET, all of score 0: runs that are kept, by age, each twice: `/<entry>` for the list of all runs and
    `<flow>/<entry>` for that of its flow; an entry is `<created ms>/<execution id>/<flow>/<version>`."""
    return f"{PREFIX}:{{runs}}:index"


def signals(server: str) -> str:
    """Sharded channel: ids of runs of one server that were signalled, a cancel for one."""
    return f"{queue(FLOWS_QUEUE)}S:{server}"


def bundle_current() -> str:
    """HASH: digest of the bundle that every server serves, the one before it, at_ms; also the sharded channel on which
    a new one is announced."""
    return f"{PREFIX}:{{bundles}}:current"


def bundle(digest: str) -> str:
    """STRING: a packed bundle."""
    return f"{PREFIX}:{{bundles}}:{digest}"


def bundles_needed() -> str:
    """ZSET digest -> ms: when a stored bundle was last served, or pinned by a run that had not ended."""
    return f"{PREFIX}:{{bundles}}:needed"
