"""Which flow runs which: order, cycles and depth in bounded time, however many flows there are."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import pytest

from promptflow_codegen.bundle import parse_plans, plans_json
from promptflow_codegen.check import check_flows
from promptflow_codegen.check.subflows import MAX_RESULTS, calling_order
from promptflow_codegen.checked import CheckedFlow
from promptflow_codegen.diagnostics import Report
from promptflow_codegen.lower import lower_flow
from promptflow_codegen.nodes import FlowNode
from promptflow_codegen.plan import MAX_CALL_DEPTH, FlowRef
from promptflow_codegen.read import read_flow
from promptflow_codegen.source import parse_source
from promptflow_core.executor import Catalog

Calls = Mapping[str, Sequence[str]]


def read(calls: Calls, outputs: str = "") -> list[tuple[FlowNode, Report]]:
    """Flows that run each other; one that runs nothing has a step of its own."""
    found: list[tuple[FlowNode, Report]] = []
    for name, called in calls.items():
        steps = [f"  - {{name: {chr(97 + index)}x, flow: {one}}}\n" for index, one in enumerate(called)]
        own = ["  - {name: own, executor: transform, config: {value: a, type: string}}\n"]
        report = Report(f"flows/{name}.yaml")
        root = parse_source(f"name: {name}\nsteps:\n{''.join(steps or own)}{outputs}".encode(), report)
        assert root is not None
        node = read_flow(report.file, root, report)
        assert node is not None, report.diagnostics
        found.append((node, report))
    return found


def told(flows: Sequence[tuple[FlowNode, Report]]) -> list[str]:
    """What is said of the flows, without places."""
    return [f"{one.file}: {one.code}: {one.message}" for _, report in flows for one in report.diagnostics]


def order(flows: Sequence[tuple[FlowNode, Report]]) -> list[str]:
    """The names of the flows in the order in which they are checked."""
    return [node.name.text for node, _ in calling_order(flows)]


def chain(length: int) -> Calls:
    """Flows of which each runs the next."""
    names = [f"f{chr(97 + index // 26)}{chr(97 + index % 26)}" for index in range(length)]
    return {name: [names[index + 1]] if index + 1 < length else [] for index, name in enumerate(names)}


def test_callees_come_first() -> None:
    flows = read({"a": ["b", "c"], "b": ["d"], "c": ["d"], "d": [], "e": []})
    names = order(flows)
    assert sorted(names) == ["a", "b", "c", "d", "e"]
    assert names.index("d") < min(names.index("b"), names.index("c"))
    assert names.index("a") > max(names.index("b"), names.index("c"))
    assert told(flows) == []


@pytest.mark.parametrize(
    ("calls", "expected"),
    [
        ({"a": ["a"]}, ["flows/a.yaml: flow-cycle: flows call each other: a -> a"]),
        ({"b": ["a"], "a": ["b"]}, ["flows/a.yaml: flow-cycle: flows call each other: a -> b -> a"]),
        (
            {"a": ["b"], "b": ["a"], "c": ["d"], "d": ["c"], "e": ["a", "c"]},
            [
                "flows/a.yaml: flow-cycle: flows call each other: a -> b -> a",
                "flows/c.yaml: flow-cycle: flows call each other: c -> d -> c",
            ],
        ),
    ],
)
def test_each_cycle_is_told_once(calls: Calls, expected: Sequence[str]) -> None:
    flows = read(calls)
    assert sorted(order(flows)) == sorted(calls)
    assert told(flows) == expected


def test_a_cycle_through_a_thousand_flows_is_one_short_diagnostic_in_no_time(catalog: Catalog) -> None:
    names = [f"f{index}" for index in range(1000)]
    flows = read({name: [names[(index + 1) % 1000]] for index, name in enumerate(names)})
    begin = time.perf_counter()
    assert check_flows(flows, catalog) == []
    assert time.perf_counter() - begin < 3
    (only,) = told(flows)
    assert only.startswith("flows/f0.yaml: flow-cycle: flows call each other: f0 -> f1 ->")
    assert "(989 more)" in only
    assert len(only) < 250


def test_flows_nest_as_deep_as_the_limit_and_no_deeper(catalog: Catalog) -> None:
    flows = read(chain(MAX_CALL_DEPTH + 1))
    assert len(check_flows(flows, catalog)) == MAX_CALL_DEPTH + 1
    deeper = read({**chain(MAX_CALL_DEPTH + 2), "zz": ["faa"]})
    check_flows(deeper, catalog)
    (only,) = told(deeper)
    assert only.startswith("flows/faa.yaml: too-deep: flows nest 9 deep, the limit is 8: faa -> fab ->")


def test_results_that_double_at_each_level_are_refused_where_they_grow_too_large(catalog: Catalog) -> None:
    names = [f"f{chr(97 + index)}" for index in range(MAX_CALL_DEPTH)]
    calls = {name: [names[index + 1]] * 20 if index + 1 < len(names) else [] for index, name in enumerate(names)}
    flows = read(calls)
    begin = time.perf_counter()
    check_flows(flows, catalog)
    assert time.perf_counter() - begin < 3
    (only,) = told(flows)
    assert f"more than {MAX_RESULTS} fields in all" in only


def test_a_caller_sees_the_result_of_the_callee(catalog: Catalog) -> None:
    checked = {flow.name: flow for flow in check_flows(read({"a": ["b"], "b": []}), catalog)}
    (step,) = checked["a"].steps
    assert isinstance(step.callee, CheckedFlow)
    assert step.output == checked["b"].result


def test_a_plan_names_the_callee_and_the_pools_that_it_needs(catalog: Catalog) -> None:
    flows = read({"a": ["b"], "b": ["c", "d"], "c": [], "d": []})
    text = "name: d\nsteps:\n  - {name: x, executor: sentiment_analyzer, config: {text: a}}\n"
    root = parse_source(text.encode(), flows[3][1])
    assert root is not None
    node = read_flow("flows/d.yaml", root, flows[3][1])
    assert node is not None
    checked = check_flows([*flows[:3], (node, flows[3][1])], catalog)
    (step,) = next(lower_flow(flow) for flow in checked if flow.name == "a").steps
    assert (step.flow, step.executor, step.queue, step.pools) == (FlowRef("b"), "", None, ("sentiment",))
    assert step.output == next(flow.result for flow in checked if flow.name == "b")


def test_a_plan_with_a_callee_survives_a_bundle(catalog: Catalog) -> None:
    plans = tuple(map(lower_flow, check_flows(read({"a": ["b"], "b": []}), catalog)))
    assert parse_plans(plans_json(plans), "d") == plans
