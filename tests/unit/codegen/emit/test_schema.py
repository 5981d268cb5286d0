"""The schema of flow files: what it says agrees with what the reader takes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from tests.unit.codegen.root import ROOT

from promptflow_codegen.emit.schema import emit_schema
from promptflow_codegen.read import FLOW_KEYS, OUTPUT_KEYS, RETRY_KEYS, STEP_KEYS
from promptflow_core.executor import Catalog
from promptflow_core.type_syntax import FIELD_KEYS


@pytest.fixture(scope="module")
def schema(catalog: Catalog) -> Any:
    return json.loads(emit_schema(catalog))


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


def test_the_schema_in_the_tree_is_the_one_that_would_be_generated(catalog: Catalog) -> None:
    assert Path(ROOT / "flows" / "flow.schema.json").read_text("utf-8") == emit_schema(catalog)
