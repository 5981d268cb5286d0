"""Flows as plans."""

from __future__ import annotations

from tests.unit.codegen.pipeline import check

from promptflow_codegen.lower import lower_flow
from promptflow_core.executor import Catalog
from promptflow_core.retry import RetryPolicy
from promptflow_core.types import ListType, spelling

TEXT = """
name: mail_triage
version: 3
description: Sorts mail.
timeout: 1h
inputs:
  - {name: texts, type: "string[]", required: true}
steps:
  - name: last
    executor: transform
    config: {type: number, value: "{{ steps.each | default([]) | length + steps.first.value | length }}"}
  - name: each
    executor: sentiment_analyzer
    needs: [unread]
    condition: "{{ steps.first.value | length > 0 }}"
    for_each: "{{ inputs.texts }}"
    as: text
    max_parallel: 4
    timeout: 1.5s
    retry: {max_attempts: 5, initial: 100ms, max: 2s, multiplier: 3}
    config: {text: "{{ text }}"}
  - {name: first, executor: transform, config: {type: "string[]", value: "{{ inputs.texts }}"}, retry: {}}
  - {name: unread, executor: transform, description: Nobody reads it., config: {value: x}}
outputs:
  count: "{{ steps.last.value }}"
  labels: {type: "string[]", value: "{{ steps.each | default([]) | map(attribute='label') }}"}
  nested: {type: "object", fields: [{name: a}], value: {a: "{{ inputs.texts[0] }}"}}
"""


def test_a_plan_has_everything_that_the_engine_needs(catalog: Catalog) -> None:
    plan = lower_flow(check(TEXT, catalog))
    assert (plan.name, plan.version, plan.package) == ("mail_triage", 3, "promptflow_api.flows.mail_triage.v3")
    assert (plan.service, plan.description, plan.timeout_ms) == ("MailTriageService", "Sorts mail.", 3_600_000)
    assert plan.source == "flows/flow.yaml"
    each = plan.step("each")
    assert (each.queue, each.line, each.items_name, each.max_parallel) == ("sentiment", 12, "text", 4)
    assert (each.retry, each.timeout_ms) == (RetryPolicy(5, 100, 2000, 3.0), 1500)
    assert (each.condition, each.for_each) == ("{{ steps.first.value | length > 0 }}", "{{ inputs.texts }}")
    assert each.config == {"text": "{{ text }}"}
    assert (plan.step("first").retry, plan.step("unread").retry) == (RetryPolicy(), RetryPolicy(max_attempts=1))
    assert (plan.step("unread").queue, plan.step("unread").description) == (None, "Nobody reads it.")


def test_steps_are_in_an_order_that_respects_what_they_read(catalog: Catalog) -> None:
    plan = lower_flow(check(TEXT, catalog))
    assert [(step.name, step.needs) for step in plan.steps] == [
        ("first", ()),
        ("unread", ()),
        ("each", ("first", "unread")),
        ("last", ("each", "first")),
    ]


def test_a_result_is_typed_by_its_outputs(catalog: Catalog) -> None:
    plan = lower_flow(check(TEXT, catalog))
    assert {field.name: spelling(field.type) for field in plan.result.fields} == {
        "count": "number",
        "labels": "string[]",
        "nested": "object",
    }
    assert plan.outputs == {
        "count": "{{ steps.last.value }}",
        "labels": "{{ steps.each | default([]) | map(attribute='label') }}",
        "nested": {"a": "{{ inputs.texts[0] }}"},
    }


def test_without_outputs_a_result_has_a_field_per_step_in_the_order_of_the_file(catalog: Catalog) -> None:
    text = TEXT[: TEXT.index("outputs:")]
    plan = lower_flow(check(text, catalog))
    assert [field.name for field in plan.result.fields] == ["last", "each", "first", "unread"]
    each = plan.result.field("each")
    assert each is not None
    assert each.type == ListType(plan.step("each").output)
    assert plan.outputs is None


def test_a_fixed_order_makes_each_step_need_the_one_before(catalog: Catalog) -> None:
    text = "name: a\norder: sequential\nsteps:\n" + "".join(
        f"  - {{name: {name}, executor: transform, config: {{value: x}}}}\n" for name in ("c", "a", "b")
    )
    plan = lower_flow(check(text, catalog))
    assert [(step.name, step.needs) for step in plan.steps] == [("c", ()), ("a", ("c",)), ("b", ("a",))]
