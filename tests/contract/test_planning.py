"""Plan, over gRPC and its HTTP twin: what would run, told without running anything."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any

import grpc
import pytest
from google.protobuf.json_format import MessageToDict
from tests.contract.memory_engine import MemoryEngine
from tests.contract.serving import CallError, Server, serving
from tests.contract.test_http_bodies import FORM, PAGE, form, part
from tests.unit.server.services.everything import PLAN

from promptflow_codegen.bundle import Bundle
from promptflow_codegen.plan import StepPlan
from promptflow_core.types import ObjectType

JSON = "application/json"
OUTPUT = ObjectType(())


def step(name: str, **fields: Any) -> StepPlan:
    defaults: dict[str, Any] = {"executor": "inspector", "queue": "general", "output": OUTPUT, "line": 7}
    return StepPlan(name, **{**defaults, **fields})


Serve = Callable[..., AbstractAsyncContextManager[Server]]


@pytest.fixture
def serve(everything: Bundle, engine: MemoryEngine, tmp_path: Path) -> Serve:
    """Serves the flow of every type with other steps."""

    def with_steps(*steps: StepPlan) -> AbstractAsyncContextManager[Server]:
        plan = replace(PLAN, steps=steps, source="flows/everything.yaml")
        return serving(Bundle.of(everything.descriptors, (plan,)), engine, tmp_path / "files")

    return with_steps


async def planned(server: Server, **inputs: Any) -> list[dict[str, Any]]:
    """The steps of a plan as JSON."""
    response = await server.call("Plan", server.contract.execute_request(**{"text": "hello", **inputs}))
    return list(MessageToDict(response, preserving_proto_field_name=True).get("steps", []))


STEPS: dict[str, tuple[list[StepPlan], dict[str, Any]]] = {
    "a step without condition runs, with its config": (
        [step("a", config={"text": "{{ inputs.text }}!", "n": "{{ inputs.count }}", "fixed": 1.5})],
        {"decision": "RUNS", "config": {"text": "hello!", "n": 7, "fixed": 1.5}},
    ),
    "what reads other steps is left open": (
        [step("a"), step("b", needs=("a",), config={"text": "{{ steps.a.text }}"})],
        {"decision": "RUNS", "needs": ["a"], "stage": 1},
    ),
    "a true condition over inputs runs": (
        [step("a", condition="{{ inputs.count > 5 and system.version == 1 }}")],
        {"decision": "RUNS", "config": {}},
    ),
    "a false condition over inputs skips, and tells no config": (
        [step("a", condition="{{ inputs.count > 50 }}", config={"text": "{{ inputs.text }}"})],
        {"decision": "SKIPPED"},
    ),
    "a condition over steps is undecided": (
        [step("a"), step("b", needs=("a",), condition="{{ steps.a.count > 1 }}", config={"x": "{{ inputs.text }}"})],
        {"decision": "UNDECIDED", "needs": ["a"], "stage": 1, "config": {"x": "hello"}},
    ),
    "a condition over the id of a run is undecided": (
        [step("a", condition="{{ system.execution_id == '' }}")],
        {"decision": "UNDECIDED", "config": {}},
    ),
    "an undecided step whose config fails tells none": (
        [
            step("a"),
            step("b", needs=("a",), condition="{{ steps.a.ok }}", config={"x": "{{ inputs.count / 0 }}"}),
        ],
        {"decision": "UNDECIDED", "needs": ["a"], "stage": 1},
    ),
    "a skipped step is known to those after it": (
        [
            step("a", condition="{{ false }}"),
            step("b", needs=("a",), config={"text": "{{ steps.a.text | default('none') }}"}),
        ],
        {"decision": "RUNS", "needs": ["a"], "stage": 1, "config": {"text": "none"}},
    ),
    "a condition on a skipped step is decided": (
        [
            step("a", condition="{{ inputs.count > 50 }}"),
            step("b", needs=("a",), condition="{{ steps.a is defined }}"),
        ],
        {"decision": "SKIPPED", "needs": ["a"], "stage": 1},
    ),
    "the items of a list of inputs are counted": (
        [step("a", for_each="{{ inputs.tags }}", config={"text": "{{ item }}"})],
        {"decision": "RUNS", "items": 3},
    ),
    "a config that reads no item is told for every item": (
        [step("a", for_each="{{ inputs.tags }}", config={"text": "{{ inputs.text }}"})],
        {"decision": "RUNS", "items": 3, "config": {"text": "hello"}},
    ),
    "a list of other steps is not counted": (
        [step("a"), step("b", needs=("a",), for_each="{{ steps.a.words }}", config={"text": "{{ item }}"})],
        {"decision": "RUNS", "needs": ["a"], "stage": 1},
    ),
    "a step in the server itself has no queue": (
        [step("a", queue=None, executor="decision_maker")],
        {"decision": "RUNS", "config": {}, "executor": "decision_maker", "queue": None},
    ),
    "stages are how deep the needs are": (
        [step("a"), step("b", needs=("a",)), step("c", needs=("a",)), step("d", needs=("b", "a"))],
        {"decision": "RUNS", "needs": ["b", "a"], "stage": 2, "config": {}},
    ),
    "files are shown by name and size": (
        [step("a", config={"page": "{{ inputs.document }}", "raw": "{{ inputs.data }}"})],
        {
            "decision": "RUNS",
            "config": {
                "page": {"name": "a.png", "content_type": "image/png", "size_bytes": 5},
                "raw": {"size_bytes": 3},
            },
        },
    ),
    "large values are cut": (
        [step("a", config={"text": "{{ 'x' * 5000 }}", "list": "{{ range(500) | list }}"})],
        {
            "decision": "RUNS",
            "config": {"text": f"{'x' * 1024}… (5000 characters)", "list": [*range(100), "… and 400 more"]},
        },
    ),
    "times are spelled as in JSON": (
        [step("a", config={"at": "{{ inputs.at }}", "wait": "{{ inputs.wait }}", "extra": "{{ inputs.extra }}"})],
        {"decision": "RUNS", "config": {"at": "2033-05-18T03:33:20+00:00", "wait": "90s", "extra": None}},
    ),
}


@pytest.mark.parametrize("name", STEPS)
async def test_the_last_step_of_a_plan(serve: Serve, name: str) -> None:
    steps, expected = STEPS[name]
    inputs: dict[str, Any] = {
        "tags": ["ab", "cd", "ef"],
        "document": {"content": b"12345", "name": "a.png", "content_type": "image/png"},
        "data": b"abc",
        "at": {"seconds": 2_000_000_000},
    }
    async with serve(*steps) as server:
        plan = await planned(server, **inputs)
    own = {"step": steps[-1].name, "executor": "inspector", "queue": "general", **expected}
    assert [entry["step"] for entry in plan] == [each.name for each in steps]
    assert plan[-1] == {key: value for key, value in own.items() if value is not None or key == "config"}


async def test_a_plan_runs_records_and_stores_nothing(server: Server, engine: MemoryEngine) -> None:
    request = server.contract.execute_request(text="hello", document={"content": b"page"}, tags=["ab"])
    response = await server.call("Plan", request)
    assert (response.flow, response.version, response.bundle_digest) == ("everything", 1, server.contract.digest)
    assert [(each.step, each.stage, each.items) for each in response.steps] == [("inspect", 0, 0), ("label", 1, 1)]
    form_body = form(part("text", "hello"), part("document", PAGE, "page.png"), part("tags", "ab"))
    assert await server.post([form_body], FORM, method="Plan") == response
    assert not engine.runs
    assert not server.stored_files()


@pytest.mark.parametrize("method", ["Execute", "Plan"])
async def test_a_request_that_does_not_hold_is_refused_as_execute_refuses_it(
    server: Server, engine: MemoryEngine, method: str
) -> None:
    body = {"txet": "x", "count": 2000, "document": {"uri": "http://a"}}
    with pytest.raises(CallError) as caught:
        await server.post([json.dumps(body).encode()], JSON, method=method)
    assert set(caught.value.violations) == {"text", "txet", "count", "document"}
    page = part("document", PAGE, "page.png")
    with pytest.raises(CallError) as refused:
        await server.post([form(page, part("count", "many"))], FORM, method=method)
    assert set(refused.value.violations) == {"text", "count"}
    assert not engine.runs
    assert not server.stored_files()


FAILING: dict[str, tuple[list[StepPlan], str, str]] = {
    "condition": ([step("a", condition="{{ inputs.count / 0 > 1 }}")], "TEMPLATE_FAILED", "division by zero"),
    "config": ([step("a", config={"x": "{{ inputs.note.x }}"})], "TEMPLATE_FAILED", "`note`"),
    "for_each": ([step("a", for_each="{{ inputs.text }}")], "TEMPLATE_FAILED", "goes over a list"),
    "a skipped step that is read without default": (
        [step("b", condition="{{ false }}"), step("a", needs=("b",), config={"x": "{{ steps.b.text }}"})],
        "TEMPLATE_FAILED",
        "step `b` was skipped",
    ),
    "a template without end": (
        [step("a", config={"x": "{% for i in range(9999) %}{% for j in range(9999) %}x{% endfor %}{% endfor %}"})],
        "TEMPLATE_LIMIT",
        "",
    ),
}


@pytest.mark.parametrize("name", FAILING)
async def test_a_template_that_would_fail_the_run_fails_its_plan_with_its_place(serve: Serve, name: str) -> None:
    steps, reason, told = FAILING[name]
    async with serve(*steps) as server:
        with pytest.raises(CallError) as caught:
            await planned(server)
    metadata = dict(caught.value.info.metadata)
    assert (caught.value.code, caught.value.info.reason) == (grpc.StatusCode.FAILED_PRECONDITION, reason)
    assert told in caught.value.message
    assert {key: metadata[key] for key in ("flow", "source", "step", "line")} == {
        "flow": "everything",
        "source": "flows/everything.yaml",
        "step": "a",
        "line": "7",
    }


async def test_many_slow_templates_end_at_the_limit_of_a_plan(serve: Serve) -> None:
    slow = "{% for i in range(9000) %}{% for j in range(40) %}x{% endfor %}{% endfor %}"
    steps = [step(f"s{number}", config={"x": slow}) for number in range(200)]
    async with serve(*steps) as server:
        began = monotonic()
        with pytest.raises(CallError) as caught:
            await planned(server)
    assert caught.value.info.reason == "TEMPLATE_LIMIT"
    assert monotonic() - began < 8


async def test_a_plan_that_finds_no_slot_says_so_before_the_callers_deadline(
    everything: Bundle, engine: MemoryEngine, tmp_path: Path
) -> None:
    slots = asyncio.Semaphore(1)
    async with serving(everything, engine, tmp_path / "files", plan_slots=slots) as server:
        await slots.acquire()
        with pytest.raises(CallError) as caught:
            await server.call("Plan", server.contract.execute_request(text="hello"), timeout=1)
        assert (caught.value.code, caught.value.info.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "QUEUE_FULL")
        slots.release()
        assert await planned(server)


async def test_a_slot_is_taken_until_its_thread_is_done_though_the_caller_has_gone(
    everything: Bundle, engine: MemoryEngine, tmp_path: Path
) -> None:
    begun, go_on, slots = threading.Event(), threading.Event(), asyncio.Semaphore(1)

    def cost_of(executor: str) -> float | None:
        del executor
        begun.set()
        go_on.wait(5)
        return None

    async with serving(everything, engine, tmp_path / "files", cost_of=cost_of, plan_slots=slots) as server:
        leaving = asyncio.create_task(planned(server))
        await asyncio.to_thread(begun.wait, 5)
        leaving.cancel()
        await asyncio.wait({leaving})
        with pytest.raises(CallError) as caught:
            await server.call("Plan", server.contract.execute_request(text="hello"), timeout=1)
        assert caught.value.info.reason == "QUEUE_FULL"
        go_on.set()
        assert await planned(server)


@pytest.fixture
async def costly(everything: Bundle, engine: MemoryEngine, tmp_path: Path) -> AsyncIterator[Server]:
    costs = {"inspector": 1.0}
    async with serving(everything, engine, tmp_path / "files", cost_of=costs.get) as server:
        yield server


async def test_the_cost_of_a_step_is_told_where_it_is_known(costly: Server) -> None:
    inspect, label = await planned(costly, tags=["ab", "cd"])
    assert (inspect["cost"], "cost" in label) == (1.0, False)
