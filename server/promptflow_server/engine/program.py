"""A flow as the engine runs it: its plan, its templates, and the flows that its steps run."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from promptflow_codegen.plan import MAX_CALL_DEPTH, FlowPlan, FlowRef, StepPlan
from promptflow_core.errors import FlowError, Reason, Violation
from promptflow_core.values import NativeValue
from promptflow_server.engine.scope import Renderer
from promptflow_server.engine.templates import TemplateEngine

KEPT_BUNDLES = 4
"""Bundles whose programs are kept: how many programs one has, its flows say."""

InputCheck = Callable[[Mapping[str, NativeValue]], Sequence[Violation]]
"""Where inputs that fit their types break what else the flow asks of them."""

PlanOf = Callable[[str, str, int], Awaitable[FlowPlan]]
InputCheckOf = Callable[[str, str, int], Awaitable[InputCheck]]
"""(digest, flow, version) -> what a run pins; both raise FlowError: FLOW_NOT_FOUND, STORE_UNAVAILABLE."""


def _accept(inputs: Mapping[str, NativeValue]) -> Sequence[Violation]:
    del inputs
    return ()


@dataclass(frozen=True, slots=True)
class Program:
    """One flow with everything below it. `is_light`: no template of it takes long."""

    plan: FlowPlan
    templates: Renderer
    callees: Mapping[FlowRef, Program] = field(default_factory=dict[FlowRef, "Program"])
    check: InputCheck = _accept
    is_light: bool = True

    def callee(self, step: StepPlan) -> Program:
        """The program of a step that runs a flow."""
        assert step.flow is not None
        return self.callees[step.flow]

    def step_at(self, path: str) -> StepPlan | None:
        """The step that a path such as `call/3@2/inner` leads to, if there is one."""
        program, found = self, None
        for part in path.split("/"):
            name = part.partition("@")[0]
            if name.isdigit():
                continue
            if found is not None:
                if found.flow is None:
                    return None
                program = program.callee(found)
            found = next((step for step in program.plan.steps if step.name == name), None)
            if found is None:
                return None
        return found


class Programs:
    """The programs that runs pin, each compiled once and kept while it is used."""

    def __init__(self, plan_of: PlanOf, check_of: InputCheckOf | None = None) -> None:
        self._plan_of = plan_of
        self._check_of = check_of
        self._kept: OrderedDict[str, dict[FlowRef, Program]] = OrderedDict()

    async def find(self, digest: str, flow: str, version: int) -> Program:
        """The program of a run.

        Raises:
            FlowError: FLOW_NOT_FOUND, STORE_UNAVAILABLE, TEMPLATE_FAILED (it does not compile), INTERNAL.
        """
        return await self._find(digest, FlowRef(flow, version), depth=0)

    async def _find(self, digest: str, ref: FlowRef, *, depth: int) -> Program:
        found = self._of_bundle(digest).get(ref)
        if found is None:
            if depth > MAX_CALL_DEPTH:
                message = f"the flows of bundle {digest} nest deeper than {MAX_CALL_DEPTH}; run `promptflow generate`"
                raise FlowError(Reason.INTERNAL, message)
            found = await self._compile(digest, ref, depth=depth)
            self._of_bundle(digest)[ref] = found
        return found

    def _of_bundle(self, digest: str) -> dict[FlowRef, Program]:
        """The programs of one bundle, which was needed last now."""
        found = self._kept.setdefault(digest, {})
        self._kept.move_to_end(digest)
        while len(self._kept) > KEPT_BUNDLES:
            self._kept.popitem(last=False)
        return found

    async def _compile(self, digest: str, ref: FlowRef, *, depth: int) -> Program:
        plan = await self._plan_of(digest, ref.name, ref.version)
        templates = TemplateEngine(plan)
        called = dict.fromkeys(step.flow for step in plan.steps if step.flow is not None)
        callees = {one: await self._find(digest, one, depth=depth + 1) for one in called}
        is_light = templates.is_light and all(callee.is_light for callee in callees.values())
        check = await self._check_of(digest, ref.name, ref.version) if self._check_of else _accept
        return Program(plan, templates, callees, check, is_light)
