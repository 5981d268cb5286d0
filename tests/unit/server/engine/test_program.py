"""Programs: each compiled once, however many flows a bundle has."""

from __future__ import annotations

from collections import Counter

import pytest
from tests.unit.server.engine.plans import flow, step

from promptflow_codegen.plan import FlowPlan
from promptflow_server.engine.program import KEPT_BUNDLES, Programs


@pytest.fixture
def asked() -> Counter[str]:
    return Counter()


@pytest.fixture
def programs(asked: Counter[str]) -> Programs:
    plan = flow(step("a"))

    async def plan_of(digest: str, name: str, version: int) -> FlowPlan:
        del name, version
        asked[digest] += 1
        return plan

    return Programs(plan_of)


async def test_every_flow_of_a_large_bundle_is_compiled_once(programs: Programs, asked: Counter[str]) -> None:
    names = [f"flow_{number}" for number in range(1000)]
    for _ in range(2):
        for name in names:
            await programs.find("one", name, 1)
    assert asked == {"one": len(names)}


async def test_bundles_that_were_not_needed_for_long_are_let_go(programs: Programs, asked: Counter[str]) -> None:
    for digest in ("live", *map(str, range(KEPT_BUNDLES))):
        await programs.find(digest, "flow", 1)
        await programs.find("live", "flow", 1)
    await programs.find("0", "flow", 1)
    assert (asked["live"], asked["0"]) == (1, 2)
