"""The schema of flow files: what it says agrees with what the reader takes, and with the flows of the tree."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator
from tests.unit.codegen.root import ROOT

from promptflow_codegen.diagnostics import Report
from promptflow_codegen.emit.schema import emit_schema
from promptflow_codegen.generate import generate
from promptflow_codegen.plan import FlowPlan
from promptflow_codegen.project import Project
from promptflow_codegen.read import FLOW_KEYS, OUTPUT_KEYS
from promptflow_codegen.read_steps import RETRY_KEYS, STEP_KEYS
from promptflow_codegen.source import parse_source
from promptflow_codegen.tree import to_plain
from promptflow_core.executor import Catalog
from promptflow_core.type_syntax import FIELD_KEYS

FLOWS = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (*(ROOT / "flows").glob("*.yaml"), *(ROOT / "tests" / "golden").glob("*/flow.yaml"))
    if not path.name.endswith(".test.yaml")
)


@pytest.fixture(scope="module")
def plans(catalog: Catalog) -> tuple[FlowPlan, ...]:
    bundle = generate(Project.at(ROOT), catalog).bundle
    assert bundle is not None
    return bundle.plans


@pytest.fixture(scope="module")
def schema(catalog: Catalog, plans: tuple[FlowPlan, ...]) -> Any:
    return json.loads(emit_schema(catalog, plans))


@pytest.fixture(scope="module")
def validator(schema: Any) -> Draft7Validator:
    Draft7Validator.check_schema(schema)
    return Draft7Validator(schema)


def test_the_schema_knows_exactly_the_keys_that_the_reader_takes(schema: Any) -> None:
    step = schema["$defs"]["step"]["properties"]
    output = schema["properties"]["outputs"]["additionalProperties"]["anyOf"][0]["properties"]
    keys = (schema["properties"], step, schema["$defs"]["input"]["properties"], step["retry"]["properties"], output)
    assert [set(found) for found in keys] == [
        set(FLOW_KEYS),
        set(STEP_KEYS),
        set(FIELD_KEYS),
        set(RETRY_KEYS),
        set(OUTPUT_KEYS),
    ]


def test_each_executor_has_its_config(schema: Any, catalog: Catalog) -> None:
    cases = {
        case["if"]["properties"]["executor"]["const"]: case["then"]["properties"]["config"]
        for case in schema["$defs"]["step"]["allOf"]
        if "executor" in case["if"]["properties"]
    }
    assert list(cases) == sorted(catalog)
    for name, spec in catalog.items():
        assert set(cases[name]["properties"]) == {field.name for field in spec.config.fields}
        assert cases[name].get("required", []) == sorted(field.name for field in spec.config.fields if field.required)


def test_the_types_that_it_offers_are_those_of_the_language(schema: Any) -> None:
    names, pattern = schema["$defs"]["type"]["anyOf"]
    assert {"string", "file", "enum", "object", "json"} <= set(names["enum"])
    for text, fits in (("string[]", True), ("map<number>", True), ("string[][]", False), ("map<string[]>", False)):
        assert bool(re.search(pattern["pattern"], text)) is fits


def test_it_is_the_same_text_for_the_same_executors_in_any_order(catalog: Catalog) -> None:
    assert emit_schema(dict(reversed(list(catalog.items())))) == emit_schema(catalog)


def test_every_key_and_every_executor_is_explained(schema: Any) -> None:
    step = schema["$defs"]["step"]["properties"]
    explained = {**schema["properties"], **step, **schema["$defs"]["input"]["properties"]}
    assert [key for key, found in explained.items() if not found.get("description") and "$ref" not in found] == []
    assert all(choice["description"] for choice in step["executor"]["anyOf"])


@pytest.mark.parametrize("path", FLOWS)
def test_a_flow_that_is_right_is_right_to_editors(path: str, validator: Draft7Validator) -> None:
    flow = to_plain(parse_source((ROOT / path).read_bytes(), Report(path)))
    assert [error.message for error in validator.iter_errors(flow)] == []


@pytest.mark.parametrize("path", sorted(path.name for path in (ROOT / "flows").glob("*.yaml")))
def test_editors_find_the_schema_of_a_shipped_flow(path: str) -> None:
    first, *_ = (ROOT / "flows" / path).read_text("utf-8").splitlines()
    assert first == "# yaml-language-server: $schema=flow.schema.json"


INPUT = {"name": "text", "type": "string"}
STEP = {"name": "x", "executor": "sentiment_analyzer", "config": {"text": "{{ inputs.text }}"}}

TRANSFORM = {"name": "x", "executor": "transform"}


def flow(**changes: Any) -> dict[str, Any]:
    return {"name": "a", "inputs": [INPUT], "steps": [STEP], **changes}


MISTAKES: Mapping[str, dict[str, Any]] = {
    "a key that nobody reads": flow(versoin=1),
    "no steps": {"name": "a"},
    "an empty list of steps": flow(steps=[]),
    "steps as a mapping": flow(steps={"a": 1}),
    "a name that nobody can spell": flow(name="My-Flow"),
    "a reserved name": flow(name="files"),
    "an unknown executor": flow(steps=[STEP | {"executor": "sentiment"}]),
    "no executor": flow(steps=[{"name": "x", "config": {}}]),
    "an executor and a flow": flow(steps=[STEP | {"flow": "sentiment_analysis"}]),
    "config without what the executor needs": flow(steps=[STEP | {"config": {}}]),
    "no config": flow(steps=[{"name": "x", "executor": "ocr"}]),
    "config with a key that the executor lacks": flow(steps=[STEP | {"config": {"text": "a", "txt": "b"}}]),
    "config of another type": flow(steps=[STEP | {"config": {"text": 5}}]),
    "a sub-flow without its input": flow(steps=[{"name": "x", "flow": "sentiment_analysis", "config": {}}]),
    "a sub-flow with an unknown input": flow(
        steps=[{"name": "x", "flow": "sentiment_analysis", "config": {"text": "a", "b": 1}}]
    ),
    "a condition that is no template": flow(steps=[STEP | {"condition": "true"}]),
    "an unknown type of a transform": flow(steps=[TRANSFORM | {"config": {"value": "a", "type": "strng"}}]),
    "an unknown type of a combined field": flow(
        steps=[
            {"name": "x", "executor": "combine", "config": {"fields": [{"name": "a", "type": "strng", "value": "b"}]}}
        ]
    ),
    "a combined field without its value": flow(
        steps=[{"name": "x", "executor": "combine", "config": {"fields": [{"name": "a"}]}}]
    ),
    "a name of the item without a list": flow(steps=[STEP | {"as": "word"}]),
    "a bound on what runs at once without a list": flow(steps=[STEP | {"max_parallel": 2}]),
    "an unknown type": flow(inputs=[INPUT | {"type": "strng"}]),
    "lists in lists": flow(inputs=[INPUT | {"type": "string[][]"}]),
    "an object without fields": flow(inputs=[INPUT | {"type": "object[]"}]),
    "an enum without values": flow(inputs=[INPUT | {"type": "enum"}]),
    "a negative length": flow(inputs=[INPUT | {"min_length": -1}]),
    "a reserved input": flow(inputs=[INPUT | {"name": "options"}]),
    "a timeout without a unit": flow(timeout=30),
    "an order that is none": flow(order="parallel"),
    "outputs of nothing": flow(outputs={}),
    "a version below 1": flow(version=0),
    "a media type that is none": flow(inputs=[INPUT | {"type": "file", "accept": ["png"]}]),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_editors_underline(name: str, validator: Draft7Validator) -> None:
    assert not validator.is_valid(MISTAKES[name])


def test_what_the_mistakes_are_made_of_is_right(validator: Draft7Validator) -> None:
    assert [error.message for error in validator.iter_errors(flow())] == []


def test_the_schema_in_the_tree_is_the_one_that_would_be_generated(
    catalog: Catalog, plans: tuple[FlowPlan, ...]
) -> None:
    assert Path(ROOT / "flows" / "flow.schema.json").read_text("utf-8") == emit_schema(catalog, plans)
