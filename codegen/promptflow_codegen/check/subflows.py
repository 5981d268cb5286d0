"""Which flow runs which: flows that steps can name, an order in which they can be checked, cycles, depth.

To whoever calls it, a flow with errors of its own says nothing: its errors are reported once, where they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from promptflow_codegen.checked import CheckedFlow
from promptflow_codegen.diagnostics import Position, Report
from promptflow_codegen.nodes import CalleeNode, FlowNode
from promptflow_codegen.plan import MAX_CALL_DEPTH, FlowRef
from promptflow_codegen.template_syntax import nearest
from promptflow_core.types import ListType, MapType, ObjectType, ValueType

MAX_RESULTS = 5000
"""Fields of all results of other flows that the steps of one flow have, whatever is nested in them."""

_SHOWN = 12


class Callees:
    """The flows that steps may name. Those that callees are checked from come first: see `calling_order`."""

    def __init__(self, declared: Iterable[FlowRef] = (), unreadable: Iterable[str] = ()) -> None:
        """`unreadable`: names of flows whose files could not be read, as far as their file names tell."""
        self._declared = frozenset(declared)
        self._unreadable = frozenset(unreadable)
        self._checked: dict[FlowRef, CheckedFlow] = {}
        self._sizes: dict[int, int] = {}

    def add(self, flow: CheckedFlow) -> None:
        """A flow without errors; from now on it can be called."""
        self._checked.setdefault(FlowRef(flow.name, flow.version), flow)

    def find(self, callee: CalleeNode, report: Report) -> CheckedFlow | None:
        """The flow that a step names; that there is none is reported. None too where it has errors of its own."""
        ref = callee.ref
        found = self._checked.get(ref)
        if found is not None:
            return found
        if ref not in self._declared and ref.name not in self._unreadable:
            self._report_unknown(callee, report)
        return None

    def size(self, flow: CheckedFlow) -> int:
        """Fields of a flow's result, here and in what is nested."""
        return sum(1 + self._size(step.output) for step in flow.steps) if flow.outputs is None else self._outputs(flow)

    def _outputs(self, flow: CheckedFlow) -> int:
        return sum(1 + self._size(output.type) for output in flow.outputs or ())

    def _size(self, value_type: ValueType) -> int:
        match value_type:
            case ListType(element=inner) | MapType(value=inner):
                return self._size(inner)
            case ObjectType(fields=fields):
                # Types are shared between flows that call each other: walked anew each time, they would never end.
                if id(fields) not in self._sizes:
                    self._sizes[id(fields)] = sum(1 + self._size(field.type) for field in fields)
                return self._sizes[id(fields)]
            case _:
                return 0

    def _report_unknown(self, callee: CalleeNode, report: Report) -> None:
        ref = callee.ref
        versions = sorted(known.version for known in self._declared if known.name == ref.name)
        if versions:
            message = f"flow `{ref.name}` has no version {ref.version}"
            hint = f"it has {' and '.join(f'`{FlowRef(ref.name, version)}`' for version in versions)}"
        else:
            names = sorted({known.name for known in self._declared})
            close = nearest(ref.name, names)
            shown = ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
            message = f"there is no flow `{ref.name[:80]}`"
            hint = f"did you mean `{close}`?" if close else f"flows are {shown}"
        report.error("unknown-flow", callee.position, message, hint)


@dataclass(frozen=True, slots=True)
class _Caller:
    """One flow and the flows that its steps name."""

    node: FlowNode
    report: Report
    calls: Mapping[FlowRef, Position]


def calling_order(flows: Sequence[tuple[FlowNode, Report]]) -> Iterator[tuple[FlowNode, Report]]:
    """The flows, each after those that it calls; what calls in a circle or nests too deep is reported."""
    graph: dict[FlowRef, _Caller] = {}
    twins: list[tuple[FlowNode, Report]] = []
    for node, report in flows:
        calls = {step.callee.ref: step.callee.position for step in reversed(node.steps) if step.callee is not None}
        caller = _Caller(node, report, calls)
        if graph.setdefault(FlowRef(node.name.text, node.version), caller) is not caller:
            twins.append((node, report))
    yield from _with_depths(graph, _ordered(graph))
    yield from twins


def _ordered(graph: Mapping[FlowRef, _Caller]) -> Iterator[FlowRef]:
    callers: dict[FlowRef, list[FlowRef]] = {ref: [] for ref in graph}
    waits_for = {ref: {called for called in caller.calls if called in graph} for ref, caller in graph.items()}
    for ref, called in waits_for.items():
        for one in called:
            callers[one].append(ref)
    ready = [ref for ref, called in waits_for.items() if not called]
    stuck = dict.fromkeys(ref for ref, called in waits_for.items() if called)
    while ready or stuck:
        if not ready:
            cycle = _cycle(next(iter(stuck)), waits_for)
            _report_cycle(cycle, graph)
            for ref in cycle:
                del stuck[ref]
            for ref in cycle:
                yield ref
                _release(ref, callers, waits_for, stuck, ready)
        for ref in ready:  # grows meanwhile
            stuck.pop(ref, None)
            yield ref
            _release(ref, callers, waits_for, stuck, ready)
        ready = []


def _release(
    ref: FlowRef,
    callers: Mapping[FlowRef, Sequence[FlowRef]],
    waits_for: Mapping[FlowRef, set[FlowRef]],
    stuck: Mapping[FlowRef, None],
    ready: list[FlowRef],
) -> None:
    """Nobody has to wait for `ref` any more."""
    for caller in callers[ref]:
        waits_for[caller].discard(ref)
        if caller in stuck and not waits_for[caller]:
            ready.append(caller)


def _cycle(start: FlowRef, waits_for: Mapping[FlowRef, set[FlowRef]]) -> list[FlowRef]:
    path: dict[FlowRef, int] = {}
    ref = start
    while ref not in path:
        path[ref] = len(path)
        ref = min(waits_for[ref], key=_key)
    cycle = list(path)[path[ref] :]
    first = cycle.index(min(cycle, key=_key))
    return [*cycle[first:], *cycle[:first]]


def _report_cycle(cycle: Sequence[FlowRef], graph: Mapping[FlowRef, _Caller]) -> None:
    first, following = graph[cycle[0]], cycle[1 % len(cycle)]
    message = f"flows call each other: {_chain([*cycle, cycle[0]])}"
    hint = "a flow may call only flows that never come back to it"
    first.report.error("flow-cycle", first.calls[following], message, hint)


def _with_depths(graph: Mapping[FlowRef, _Caller], order: Iterable[FlowRef]) -> Iterator[tuple[FlowNode, Report]]:
    depths: dict[FlowRef, tuple[int, FlowRef | None]] = {}
    for ref in order:
        caller = graph[ref]
        called = [one for one in caller.calls if one in depths]
        deepest = max(called, key=lambda one: depths[one][0], default=None)
        depth = 0 if deepest is None else depths[deepest][0] + 1
        if deepest is not None and depth > MAX_CALL_DEPTH:
            chain = [ref, *_below(deepest, depths)]
            message = f"flows nest {depth} deep, the limit is {MAX_CALL_DEPTH}: {_chain(chain)}"
            caller.report.error("too-deep", caller.calls[deepest], message, "let one flow call more of them itself")
        else:
            depths[ref] = depth, deepest
        yield caller.node, caller.report


def _below(ref: FlowRef | None, depths: Mapping[FlowRef, tuple[int, FlowRef | None]]) -> Iterator[FlowRef]:
    while ref is not None:
        yield ref
        ref = depths[ref][1]


def _chain(refs: Sequence[FlowRef]) -> str:
    names = [str(ref) for ref in refs]
    if len(names) > _SHOWN:
        names[_SHOWN // 2 : -_SHOWN // 2] = [f"({len(names) - _SHOWN} more)"]
    return " -> ".join(names)


def _key(ref: FlowRef) -> tuple[str, int]:
    return ref.name, ref.version
