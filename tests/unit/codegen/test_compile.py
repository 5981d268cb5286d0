"""Descriptors: complete, in order, without what nobody needs."""

from __future__ import annotations

import pytest
from tests.unit.codegen.pipeline import compile_flow

from promptflow_codegen.compile import ProtocError, compile_descriptors
from promptflow_core.executor import Catalog

TEXT = "name: a\nsteps:\n  - {name: x, executor: transform, config: {value: a}}\n"


def test_files_come_after_what_they_import(catalog: Catalog) -> None:
    seen: set[str] = set()
    for file in compile_flow(TEXT, catalog).file:
        assert set(file.dependency) <= seen, file.name
        seen.add(file.name)


def test_what_envoy_needs_is_there_and_nothing_has_source_info(catalog: Catalog) -> None:
    files = compile_flow(TEXT, catalog).file
    assert {file.name for file in files} >= {
        "google/api/httpbody.proto",
        "google/rpc/error_details.proto",
        "google/rpc/status.proto",
        "promptflow_api/v1/errors.proto",
        "promptflow_api/flows/a/v1/a.proto",
    }
    assert not any(file.HasField("source_code_info") for file in files)


def test_the_same_text_gives_the_same_bytes(catalog: Catalog) -> None:
    first, second = compile_flow(TEXT, catalog), compile_flow(TEXT, catalog)
    assert first.SerializeToString(deterministic=True) == second.SerializeToString(deterministic=True)


def test_text_that_is_no_proto_is_an_error_and_not_a_crash(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ProtocError):
        compile_descriptors({"x.proto": "not a proto"})
    assert "x.proto:1" in capfd.readouterr().err
