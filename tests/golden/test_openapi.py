"""`openapi.json` of a case: the operation that runs its flow, what that takes, and what it promises."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator, OpenAPIV32SpecValidator
from tests.golden.test_golden import CASES, FOLDER, ROOT, callees, check, generate

from promptflow_codegen.checked import CheckedFlow
from promptflow_codegen.compile import compile_descriptors
from promptflow_codegen.emit.openapi import OPENAPI, emit_openapi, openapi_32
from promptflow_codegen.lower import lower_flow
from promptflow_codegen.naming import kebab
from promptflow_codegen.project import Project
from promptflow_core.executor import Catalog
from promptflow_core.registry import ExecutorRegistry

VALIDATORS = {"3.1": OpenAPIV31SpecValidator, "3.2": OpenAPIV32SpecValidator}


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return ExecutorRegistry.load().catalog()


def documents_of(case: Path, catalog: Catalog) -> Mapping[str, Any]:
    """The document of one case, by version of OpenAPI."""
    plans = [lower_flow(flow) for flow in check(case, catalog)]
    proto, _ = generate(case, catalog)
    plan = plans[-1]
    protos = {**Project.at(ROOT).contract_protos(), **callees(case, catalog)}
    protos[f"{plan.package.replace('.', '/')}/{plan.name}.proto"] = proto
    document = emit_openapi(compile_descriptors(protos), plans)[OPENAPI]
    return {"3.1": json.loads(document), "3.2": json.loads(openapi_32(document))}


def fragment_of(document: Any, flow: CheckedFlow) -> Any:
    """What of a document is agreed on per case."""
    execute = f"/api/v{flow.version}/{kebab(flow.name)}/execute"
    schemas: Mapping[str, Any] = document["components"]["schemas"]
    own = {name: schemas[name] for name in schemas if ".v1.ExecuteRequest" in name or ".v1.Result" in name}
    return {"execute": document["paths"][execute]["post"], "schemas": own}


@pytest.mark.parametrize("name", CASES)
def test_the_operation_of_a_flow_is_what_was_agreed(name: str, catalog: Catalog, *, is_updating: bool) -> None:
    flow = check(FOLDER / name, catalog)[-1]
    fragment = fragment_of(documents_of(FOLDER / name, catalog)["3.1"], flow)
    expected = FOLDER / name / "openapi.json"
    if is_updating:
        expected.write_text(json.dumps(fragment, indent=2, ensure_ascii=False) + "\n", "utf-8")
    assert fragment == json.loads(expected.read_text("utf-8"))


@pytest.mark.parametrize("name", CASES)
def test_both_versions_are_valid_and_tell_of_the_same_operations(name: str, catalog: Catalog) -> None:
    documents = documents_of(FOLDER / name, catalog)
    for version, validator in VALIDATORS.items():
        validator(documents[version]).validate()
    assert documents["3.1"]["paths"].keys() == documents["3.2"]["paths"].keys()


@pytest.mark.parametrize("name", CASES)
def test_every_example_fits_its_schema(name: str, catalog: Catalog) -> None:
    document = documents_of(FOLDER / name, catalog)["3.1"]
    found = list(examples_of(document["paths"]))
    misfits = [
        f"{place}: {error.message}"
        for place, schema, example in found
        for error in Draft202012Validator({**schema, "components": document["components"]}).iter_errors(example)
    ]
    assert misfits == []
    assert len(found) > 10


def examples_of(node: Any, place: str = "") -> Any:
    """Every media type with an example: where, its schema, the example; streams as text are left out."""
    if isinstance(node, dict):
        if "example" in node and "schema" in node and not isinstance(node["example"], str):
            yield place, node["schema"], node["example"]
        for key, value in node.items():
            yield from examples_of(value, f"{place}/{key}")


def test_a_stream_names_the_schema_of_its_events(catalog: Catalog) -> None:
    documents = documents_of(FOLDER / "for_each", catalog)
    path = next(path for path in documents["3.2"]["paths"] if path.endswith("/execute/stream"))
    new, old = (documents[name]["paths"][path]["post"]["responses"]["200"]["content"] for name in ("3.2", "3.1"))
    event = new["application/x-ndjson"]["itemSchema"]
    assert event["$ref"].endswith(".v1.Event")
    assert new["text/event-stream"]["itemSchema"]["properties"]["data"]["contentSchema"] == event
    assert old["text/event-stream"]["x-item-schema"] == event
    assert old["application/json"]["schema"]["items"] == event
