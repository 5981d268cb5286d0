"""Plan: what a request would run, told without running, recording or storing anything.

Conditions, lists and configs are rendered where they read nothing but inputs, `system` and steps that are known to be
skipped, by the engine's own renderer and within its budgets; the rest is left open. Where a template of a step fails
that is sure to run, the run would fail, and so does its plan.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from promptflow_codegen.plan import StepPlan
from promptflow_codegen.template_syntax import Path, parse_template
from promptflow_core.errors import FlowError, Reason
from promptflow_core.executor import BaseExecutor
from promptflow_core.registry import ExecutorRegistry
from promptflow_core.values import FileRef, NativeValue, decode_value
from promptflow_server.engine.scope import Scope
from promptflow_server.engine.templates import TemplateEngine
from promptflow_server.services.admission import Admission
from promptflow_server.services.codec import Upload
from promptflow_server.services.contracts import FlowContract, Message
from promptflow_server.services.plan_values import ShownValues
from promptflow_server.services.submission import Submission

PLAN_S = 5.0
BUSY_RETRY_MS = 1_000
PLANS_AT_ONCE = 2
"""Renderings hold the interpreter: more threads would not make more plans."""

_KNOWN_OF_SYSTEM = frozenset({"flow", "version", "started_at"})

CallCost = Callable[[str], float | None]
"""What one call of an executor costs, None where only a worker can tell."""


def costs_by(registry: ExecutorRegistry) -> CallCost:
    """The costs of executors that count every call as one; the others have to see the call."""

    def cost_of(executor: str) -> float | None:
        if executor not in registry or registry[executor].queue is None:
            return None
        base: type[BaseExecutor[Any, Any]] = BaseExecutor
        return 1.0 if registry[executor].cost is base.cost else None

    return cost_of


def unknown_cost(executor: str) -> float | None:
    """No executor's cost is known."""
    del executor
    return None


class Planner:
    """Makes plans for one flow, in the `slots` that the planners of all flows share.

    A plan takes at most `limit_s`, its wait for a slot included; `monotonic` counts it.
    """

    def __init__(
        self,
        contract: FlowContract,
        admission: Admission,
        *,
        slots: asyncio.Semaphore,
        cost_of: CallCost = unknown_cost,
        limit_s: float = PLAN_S,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._contract = contract
        self._admission = admission
        self._cost_of = cost_of
        self._limit_s = limit_s
        self._monotonic = monotonic
        self._templates: TemplateEngine | None = None
        self._reads: dict[str, tuple[Path, ...]] = {}
        self._slots = slots

    async def plan(self, submission: Submission, within_s: float | None = None) -> Message:
        """A PlanResponse.

        Raises:
            FlowError: as for Execute where the request does not hold; TEMPLATE_FAILED or TEMPLATE_LIMIT, with its
                place, where a step that is sure to run could not begin, or planning takes too long; QUEUE_FULL where no
                slot becomes free in time.
        """
        end = self._monotonic() + (self._limit_s if within_s is None else min(self._limit_s, within_s))
        try:
            order = self._admission.check(submission, self._contract)
        finally:
            if submission.staged_id:
                await self._admission.blobs.delete(submission.staged_id)
        await self._take_slot(end)
        task = asyncio.create_task(asyncio.to_thread(self._plan, _without_content(order.inputs), end))
        task.add_done_callback(self._give_slot_back)
        # A caller that goes away ends no thread: its slot is free when the thread is.
        await asyncio.wait({task})
        return task.result()

    async def _take_slot(self, end: float) -> None:
        try:
            async with asyncio.timeout(max(end - self._monotonic(), 0)):
                await self._slots.acquire()
        except TimeoutError:
            message = "the server is making as many plans as it can; send the request again"
            raise FlowError(Reason.QUEUE_FULL, message, retry_after_ms=BUSY_RETRY_MS) from None

    def _give_slot_back(self, task: asyncio.Task[Message]) -> None:
        self._slots.release()
        if not task.cancelled():
            task.exception()  # whoever asked for the plan may be gone

    def _plan(self, inputs: Mapping[str, NativeValue], end: float) -> Message:
        plan = self._contract.plan
        templates = self._templates = self._templates or TemplateEngine(plan)
        response = self._contract.plan_response(
            flow=plan.name, version=plan.version, bundle_digest=self._contract.digest
        )
        outlook = _Outlook(self._contract, templates, self._reads, inputs, lambda: self._check_time(end))
        shown = ShownValues()
        stages: dict[str, int] = {}
        for step in plan.steps:
            stages[step.name] = max((stages[need] + 1 for need in step.needs if need in stages), default=0)
            executor = step.executor if step.flow is None else f"flow {step.flow}"
            planned = response.steps.add(
                step=step.name, executor=executor, queue=step.queue or "", stage=stages[step.name]
            )
            planned.needs.extend(step.needs)
            self._put(outlook.of(step), step, planned, shown)
        return response

    def _put(self, found: _Prospect, step: StepPlan, planned: Message, shown: ShownValues) -> None:
        decisions = planned.DESCRIPTOR.fields_by_name["decision"].enum_type.values_by_name
        planned.decision = decisions[found.decision].number
        if found.items is not None:
            planned.items = found.items
        if found.config is not None:
            shown.put(found.config, planned.config)
        cost = None if found.decision == _SKIPPED else self._cost_of(step.executor)
        calls = 1 if step.for_each is None else found.items
        if cost is not None and calls is not None:
            planned.cost = cost * calls

    def _check_time(self, end: float) -> None:
        if self._monotonic() > end:
            message = "planning takes too long; the templates of the flow do more than a plan may wait for"
            raise FlowError(Reason.TEMPLATE_LIMIT, message)


_RUNS, _SKIPPED, _UNDECIDED = "RUNS", "SKIPPED", "UNDECIDED"


@dataclass(frozen=True, slots=True)
class _Prospect:
    """What is known of a step before the run; None is unknown."""

    decision: str
    items: int | None = None
    config: Mapping[str, NativeValue] | None = None


class _Outlook:
    """What is known of each step, asked in the plan's order; what is skipped is known to the steps after it."""

    def __init__(
        self,
        contract: FlowContract,
        templates: TemplateEngine,
        reads: dict[str, tuple[Path, ...]],
        inputs: Mapping[str, NativeValue],
        check_time: Callable[[], None],
    ) -> None:
        self._plan = contract.plan
        self._templates = templates
        self._reads = reads
        self._check_time = check_time
        self._skipped: frozenset[str] = frozenset()
        self._inputs = inputs
        self._system = {
            "execution_id": "",
            "flow": self._plan.name,
            "version": self._plan.version,
            "started_at": datetime.now(UTC),
        }

    def of(self, step: StepPlan) -> _Prospect:
        """The prospect of one step.

        Raises:
            FlowError: TEMPLATE_FAILED or TEMPLATE_LIMIT, where the step is sure to run.
        """
        try:
            return self._of(step)
        except FlowError as error:
            where = {"flow": self._plan.name, "source": self._plan.source, "step": step.name}
            located = error.record.with_metadata(**where, **({"line": str(step.line)} if step.line else {}))
            raise FlowError.of(located) from None

    def _of(self, step: StepPlan) -> _Prospect:
        if step.condition is None:
            return self._of_sure(step)
        if not self._is_known(step.condition):
            return _Prospect(_UNDECIDED, *self._tried(step))
        self._check_time()
        if self._templates.condition(step, self._scope()):
            return self._of_sure(step)
        self._skipped |= {step.name}
        return _Prospect(_SKIPPED)

    def _of_sure(self, step: StepPlan) -> _Prospect:
        return _Prospect(_RUNS, self._items(step), self._config(step))

    def _tried(self, step: StepPlan) -> tuple[int | None, Mapping[str, NativeValue] | None]:
        """What can be told of a step that may never begin: a template of it that fails says nothing yet."""
        try:
            return self._items(step), self._config(step)
        except FlowError as error:
            if error.record.reason is not Reason.TEMPLATE_FAILED:
                raise
            return None, None

    def _items(self, step: StepPlan) -> int | None:
        if step.for_each is None or not self._is_known(step.for_each):
            return None
        self._check_time()
        return len(self._templates.items(step, self._scope()))

    def _config(self, step: StepPlan) -> Mapping[str, NativeValue] | None:
        if not all(self._is_known(text) for text in _texts_in(step.config)):
            return None
        self._check_time()
        config: Mapping[str, NativeValue] = decode_value(self._templates.config(step, self._scope(), None))
        return config

    def _scope(self) -> Scope:
        return Scope(self._inputs, {}, self._skipped, self._system)

    def _is_known(self, text: str) -> bool:
        if text not in self._reads:
            self._reads[text] = tuple(read.path for read in parse_template(text).reads)
        return all(map(self._is_read_known, self._reads[text]))

    def _is_read_known(self, path: Path) -> bool:
        match path:
            case ("inputs", *_):
                return True
            case ("system", str() as name, *_):
                return name in _KNOWN_OF_SYSTEM
            case ("steps", str() as name, *_):
                return name in self._skipped
            case _:
                return False


def _texts_in(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case Mapping():
            for inner in value.values():  # pyright: ignore[reportUnknownVariableType]
                yield from _texts_in(inner)
        case list() | tuple():
            for inner in value:  # pyright: ignore[reportUnknownVariableType]
                yield from _texts_in(inner)
        case _:
            return


def _without_content(value: NativeValue) -> NativeValue:
    """Inputs whose files are as templates see them, though they lie nowhere."""
    match value:
        case Upload(content=content, content_type=content_type, name=name):
            return FileRef("", content_type, name, len(content))
        case Mapping():
            return {key: _without_content(item) for key, item in value.items()}  # pyright: ignore[reportUnknownVariableType]
        case list():
            return [_without_content(item) for item in value]  # pyright: ignore[reportUnknownVariableType]
        case _:
            return value
