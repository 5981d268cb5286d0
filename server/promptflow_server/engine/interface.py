"""What the services ask of the engine."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from promptflow_codegen.plan import FlowPlan
from promptflow_core.records import EventRecord, ExecutionRecord
from promptflow_core.values import NativeValue
from promptflow_server.store.run_index import RunFilter, RunPage


@dataclass(frozen=True, slots=True)
class StartOptions:
    """How a run is started; `timeout_ms` counts from acceptance and may only shorten the flow's own."""

    execution_id: str
    timeout_ms: int | None = None
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    to_self: bool = False


class Engine(Protocol):
    """Starts runs and tells what became of them. Any server answers for any run."""

    async def start(
        self, plan: FlowPlan, digest: str, inputs: Mapping[str, NativeValue], options: StartOptions
    ) -> ExecutionRecord:
        """Record a run and put it on the queue `flows`; answers QUEUED, or the run that already has this id.

        `inputs` are valid and complete: defaults applied, files in the file store under the execution id.

        Raises:
            FlowError: STORE_UNAVAILABLE, SERVER_DRAINING, REQUEST_ID_REUSED (same id, other inputs).
        """
        ...

    async def read(self, execution_id: str) -> ExecutionRecord:
        """The run as it stands.

        Raises:
            FlowError: EXECUTION_NOT_FOUND, STORE_UNAVAILABLE.
        """
        ...

    def watch(self, execution_id: str, after_sequence: int = 0) -> AsyncIterator[EventRecord]:
        """Stored events after `after_sequence`, then new ones as they happen, until `done`. Unstored events
        (step_progress) come in between. At or past the end it repeats `done` alone.

        Raises:
            FlowError: EXECUTION_NOT_FOUND, STORE_UNAVAILABLE (after a bounded time of trying).
        """
        ...

    async def list_runs(self, wanted: RunFilter, *, size: int, token: str = "") -> RunPage:
        """A page of runs, the newest first: the first, or the one to which `token` of the page before leads.

        Raises:
            PageTokenError: no page of this list gave the token.
            FlowError: STORE_UNAVAILABLE.
        """
        ...

    async def cancel(self, execution_id: str) -> ExecutionRecord:
        """Ask the run to end as CANCELLED; answers it as it stands. A run that has ended stays as it is.

        Raises:
            FlowError: EXECUTION_NOT_FOUND, STORE_UNAVAILABLE.
        """
        ...
