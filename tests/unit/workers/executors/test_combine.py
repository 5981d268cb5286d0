"""Combine: named values of declared types."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from promptflow_core.errors import FlowError, Reason
from promptflow_core.executor import ExecutionContext
from promptflow_core.type_syntax import TypeSyntaxError
from promptflow_core.types import spelling
from promptflow_workers.executors.combine import Combine

SENTENCE = [{"name": "text", "type": "string"}, {"name": "confidence", "type": "number"}]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ([{"name": "text", "value": "a"}], {"text": "a"}),
        (
            [{"name": "n", "type": "integer", "value": 2.0}, {"name": "on", "type": "boolean", "value": False}],
            {"n": 2, "on": False},
        ),
        (
            [
                {
                    "name": "sentences",
                    "type": "object[]",
                    "fields": SENTENCE,
                    "value": [{"text": "a", "confidence": 1, "scores": {}}],
                }
            ],
            {"sentences": [{"text": "a", "confidence": 1.0}]},
        ),
        ([{"name": "mood", "type": "enum", "values": ["good", "bad"], "value": "bad"}], {"mood": "bad"}),
        ([{"name": "a", "value": None}, {"name": "b", "value": "b"}], {"b": "b"}),
        ([{"name": "a", "default": "x", "value": None}], {"a": "x"}),
        ([{"name": "a", "default": "x", "value": ""}], {"a": ""}),
    ],
)
async def test_each_field_takes_its_value(
    context: ExecutionContext, fields: list[dict[str, Any]], expected: dict[str, Any]
) -> None:
    result = await Combine().execute(context, Combine.Config(fields=fields))
    assert result.output == expected


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ([{"name": "n", "type": "integer", "value": "2"}], "n: '2' is no integer"),
        ([{"name": "n", "required": True, "value": None}], "n: value is required"),
        (
            [{"name": "s", "type": "object[]", "fields": SENTENCE, "value": [{"confidence": "high"}]}],
            "s[0].confidence: 'high' is no number",
        ),
        ([{"name": "a", "value": 1}, {"name": "a", "value": 1}], "`a` collides with `a`"),
    ],
)
async def test_a_misfit_names_its_field(context: ExecutionContext, fields: list[dict[str, Any]], place: str) -> None:
    with pytest.raises(FlowError) as caught:
        await Combine().execute(context, Combine.Config(fields=fields))
    assert caught.value.record.reason is Reason.CONFIG_INVALID
    assert str(caught.value) == f"step `work`: {place}"


def test_the_output_type_has_the_fields_in_order() -> None:
    output = Combine.output_type(
        {"fields": [{"name": "b", "type": "number", "value": "{{ 1 }}"}, {"name": "a", "value": "{{ 2 }}"}]}
    )
    assert output.name == ""
    assert [(field.name, spelling(field.type)) for field in output.fields] == [("b", "number"), ("a", "string")]


@pytest.mark.parametrize(
    ("config", "path"),
    [
        ({}, ("fields",)),
        ({"fields": []}, ("fields",)),
        ({"fields": ["a"]}, ("fields", 0)),
        ({"fields": [{"name": "a"}]}, ("fields", 0)),
        ({"fields": [{"name": "a", "value": 1}, {"name": "b", "type": "what", "value": 1}]}, ("fields", 1, "type")),
    ],
)
def test_a_field_that_cannot_be_read_is_shown_in_the_config(
    config: dict[str, Any], path: tuple[str | int, ...]
) -> None:
    with pytest.raises(TypeSyntaxError) as caught:
        Combine.output_type(config)
    assert caught.value.path == path


def test_a_misspelt_key_of_a_field_is_refused() -> None:
    with pytest.raises(ValidationError, match="vlaue"):
        Combine.Config(fields=[{"name": "a", "vlaue": 1}])
