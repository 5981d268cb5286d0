"""Orders and cycles of steps."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptflow_codegen.check.graph import find_cycle, order_steps

GRAPHS: tuple[tuple[Mapping[str, Sequence[str]], tuple[str, ...], tuple[str, ...]], ...] = (
    ({}, (), ()),
    ({"a": [], "b": [], "c": []}, ("a", "b", "c"), ()),
    ({"a": ["c"], "b": [], "c": []}, ("b", "c", "a"), ()),
    ({"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"]}, ("a", "b", "c", "d"), ()),
    ({"a": ["b"], "b": ["a"]}, (), ("a", "b", "a")),
    ({"a": ["c"], "b": ["a"], "c": ["b"]}, (), ("a", "c", "b", "a")),
    ({"a": ["b"], "b": ["c"], "c": ["b"]}, (), ("b", "c", "b")),
    ({"x": [], "a": ["b"], "b": ["a"], "y": ["a"]}, ("x",), ("a", "b", "a")),
)


@pytest.mark.parametrize(("needs", "order", "cycle"), GRAPHS)
def test_steps_run_after_what_they_need(
    needs: Mapping[str, Sequence[str]], order: tuple[str, ...], cycle: tuple[str, ...]
) -> None:
    assert (order_steps(needs), find_cycle(needs)) == (order, cycle)


NAMES = [f"s{index}" for index in range(8)]


@given(st.dictionaries(st.sampled_from(NAMES), st.lists(st.sampled_from(NAMES), max_size=4, unique=True)))
@settings(deadline=None)
def test_either_every_step_has_its_turn_or_a_cycle_is_named(graph: dict[str, list[str]]) -> None:
    needs = {name: [need for need in below if need in graph] for name, below in graph.items()}
    order, cycle = order_steps(needs), find_cycle(needs)
    for index, name in enumerate(order):
        assert set(needs[name]) <= set(order[:index])
    assert (len(order) == len(needs)) == (not cycle)
    for name, need in itertools.pairwise(cycle):
        assert need in needs[name]
