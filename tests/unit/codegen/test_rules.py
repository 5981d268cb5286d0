"""Constraints, as protovalidate enforces them on requests."""

from __future__ import annotations

from typing import Any

import protovalidate
import pytest
from tests.unit.codegen.pipeline import compile_flow, message_class

from promptflow_codegen.rules import quoted
from promptflow_core.executor import Catalog

TEXT = """
name: a
inputs:
  - {name: text, type: string, required: true, min_length: 2, max_length: 4, max_bytes: 5}
  - {name: code, type: string, pattern: '^[a-z"\\\\]+$'}
  - {name: language, type: string, values: [en-US, 'de "x"']}
  - {name: count, type: integer, min: -1, max: 10}
  - {name: small, type: int32, max: 3}
  - {name: score, type: number, min: 0.5}
  - {name: raw, type: bytes, min_length: 1, max_length: 3, max_bytes: 2}
  - {name: page, type: file, max_bytes: 3}
  - {name: mood, type: enum, values: [good, bad]}
  - {name: tags, type: "string[]", min_length: 2, max_length: 2, pattern: "^t", values: [t, tt]}
  - {name: weights, type: map<number>, max_length: 1, max: 2}
  - {name: moods, type: "enum[]", values: [good, bad]}
  - {name: by_name, type: map<enum>, values: [good, bad]}
  - {name: person, type: object, fields: [{name: name, type: string, required: true, max_length: 3}]}
  - {name: extra, type: json}
steps:
  - {name: x, executor: transform, config: {value: a}}
"""

REQUESTS: tuple[tuple[dict[str, Any], list[str]], ...] = (
    ({}, []),
    ({"text": "a"}, ["text string.min_len"]),
    ({"text": "aaaaa"}, ["text string.max_len"]),
    ({"text": "üüü"}, ["text string.max_bytes"]),
    ({"text": None}, ["text required"]),
    ({"text": ""}, ["text string.min_len"]),
    ({"code": 'a"\\'}, []),
    ({"code": "A"}, ["code string.pattern"]),
    ({"language": 'de "x"'}, []),
    ({"language": "fr"}, ["language string.in"]),
    ({"count": -2}, ["count int64.gte_lte"]),
    ({"count": 0}, []),
    ({"small": 4}, ["small int32.lte"]),
    ({"score": 0.4}, ["score double.gte"]),
    ({"score": 0.0}, ["score double.gte"]),
    ({"raw": b""}, ["raw bytes.min_len"]),
    ({"raw": b"aaa"}, ["raw bytes.max_len"]),
    ({"page": {"content": b"1234"}}, ["page max_bytes"]),
    ({"page": {"content": b"123"}}, []),
    ({"page": {"uri": "x"}}, []),
    ({"mood": 1}, []),
    ({"mood": 0}, ["mood enum.not_in"]),
    ({"mood": 9}, ["mood enum.defined_only"]),
    ({"tags": []}, []),
    ({"tags": ["t"]}, ["tags repeated.min_items"]),
    ({"tags": ["t", "t", "t"]}, ["tags repeated.max_items"]),
    ({"tags": ["x", "t"]}, ["tags string.in", "tags string.pattern"]),
    ({"weights": {"a": 1, "b": 1}}, ["weights map.max_pairs"]),
    ({"weights": {"a": 3}}, ["weights double.lte"]),
    ({"moods": [1, 0]}, ["moods enum.not_in"]),
    ({"by_name": {"a": 0}}, ["by_name enum.not_in"]),
    ({"person": {}}, ["person required"]),
    ({"person": {"name": "abcd"}}, ["person string.max_len"]),
    ({"execution_mode": 7}, ["execution_mode enum.defined_only"]),
)


@pytest.fixture(scope="module")
def request_class(catalog: Catalog) -> Any:
    return message_class(compile_flow(TEXT, catalog), "promptflow_api.flows.a.v1.ExecuteRequest")


@pytest.mark.parametrize(("fields", "expected"), REQUESTS, ids=lambda value: repr(value)[:60])
def test_what_a_constraint_says_is_enforced(fields: dict[str, Any], expected: list[str], request_class: Any) -> None:
    given = {"text": "abc", **fields}
    message = request_class(**{name: value for name, value in given.items() if value is not None})
    violations = protovalidate.Validator().collect_violations(message)
    told = sorted(f"{found.proto.field.elements[0].field_name} {found.proto.rule_id}" for found in violations)
    assert told == expected


ITEMS = """
name: a
inputs:
  - {name: page, type: file, accept: [image/*, application/pdf]}
  - {name: words, type: "string[]", items: {min_length: 2, max_length: 3}}
  - {name: pages, type: "file[]", items: {accept: [text/plain], max_bytes: 3}}
  - {name: small, type: integer, format: int32, max: 5}
steps:
  - {name: x, executor: transform, config: {value: a}}
"""
OF_ITEMS: tuple[tuple[dict[str, Any], list[str]], ...] = (
    ({"page": {"content_type": "image/png"}}, []),
    ({"page": {"content_type": "IMAGE/PNG; a=b"}}, []),
    ({"page": {"content_type": "application/pdf"}}, []),
    ({"page": {"file_id": "x"}}, []),
    ({"page": {"content_type": "application/pdfx"}}, ["page accept"]),
    ({"page": {"content_type": "text/html"}}, ["page accept"]),
    ({"words": ["ab", "abc"]}, []),
    ({"words": ["a"]}, ["words string.min_len"]),
    ({"words": ["ab", "abcd"]}, ["words string.max_len"]),
    ({"pages": [{"content_type": "text/plain", "content": b"abc"}]}, []),
    ({"pages": [{"content_type": "image/png"}, {"content": b"abcd"}]}, ["pages accept", "pages max_bytes"]),
    ({"small": 5}, []),
    ({"small": 6}, ["small int32.lte"]),
)


@pytest.mark.parametrize(("fields", "expected"), OF_ITEMS, ids=lambda value: repr(value)[:60])
def test_what_holds_for_items_and_types_of_files_is_enforced(
    fields: dict[str, Any], expected: list[str], catalog: Catalog
) -> None:
    message = message_class(compile_flow(ITEMS, catalog), "promptflow_api.flows.a.v1.ExecuteRequest")(**fields)
    violations = protovalidate.Validator().collect_violations(message)
    told = sorted(f"{found.proto.field.elements[0].field_name} {found.proto.rule_id}" for found in violations)
    assert told == expected


def test_texts_are_quoted_for_proto_files() -> None:
    assert quoted('a"b\\c\n\té€\u200b') == '"a\\"b\\\\c\\012\\011é€\\342\\200\\213"'
