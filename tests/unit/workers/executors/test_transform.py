"""Transform: what a declared type makes of a value, and what it refuses."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from promptflow_core.errors import FlowError, Reason
from promptflow_core.executor import ExecutionContext
from promptflow_core.type_syntax import TypeSyntaxError
from promptflow_core.types import spelling
from promptflow_core.values import FileRef
from promptflow_workers.executors.transform import Transform

PAIR = [{"name": "label", "type": "string", "required": True}, {"name": "score", "type": "number"}]
FILE = FileRef("run/abc", "image/png", "page.png", 3)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"value": "text"}, "text"),
        ({"type": "string", "value": ""}, ""),
        ({"type": "integer", "value": 3.0}, 3),
        ({"type": "number", "value": 3}, 3.0),
        ({"type": "boolean", "value": False}, False),
        ({"type": "duration", "value": "90s"}, timedelta(seconds=90)),
        ({"type": "file", "value": FILE}, FILE),
        ({"type": "json", "value": {"a": [1, None]}}, {"a": [1, None]}),
        ({"type": "string[]", "value": []}, []),
        ({"type": "string[]", "value": ("a", "b")}, ["a", "b"]),
        ({"type": "map<integer>", "value": {"a": 1}}, {"a": 1}),
        ({"type": "enum", "values": ["a", "b"], "value": "b"}, "b"),
        (
            {"type": "object", "fields": PAIR, "value": {"label": "x", "score": 1, "other": 2}},
            {"label": "x", "score": 1.0},
        ),
        ({"type": "object[]", "fields": PAIR, "value": [{"label": "x"}]}, [{"label": "x"}]),
    ],
)
async def test_a_value_takes_its_declared_type(
    context: ExecutionContext, config: dict[str, Any], expected: Any
) -> None:
    result = await Transform().execute(context, Transform.Config(**config))
    assert result.output == {"value": expected}
    assert type(result.output["value"]) is type(expected)


async def test_a_null_of_json_is_an_absent_value(context: ExecutionContext) -> None:
    result = await Transform().execute(context, Transform.Config(type="json", value=None))
    assert result.output == {}


@pytest.mark.parametrize(
    ("config", "place"),
    [
        ({"type": "integer", "value": "3"}, "value: '3' is no integer"),
        ({"type": "integer", "value": 2**63}, "value: 9223372036854775808 is out of range"),
        ({"type": "string", "value": 3}, "value: 3 is no string"),
        ({"type": "string", "value": None}, "value: value is required"),
        ({"type": "string[]", "value": ["a", 1]}, "value[1]: 1 is no string"),
        ({"type": "enum", "values": ["a", "b"], "value": "c"}, "value: 'c' is none of a, b"),
        ({"type": "object[]", "fields": PAIR, "value": [{"score": 1}]}, "value[0].label: value is required"),
        ({"type": "text", "value": "a"}, "unknown type `text`"),
    ],
)
async def test_a_misfit_is_refused_where_it_is(context: ExecutionContext, config: dict[str, Any], place: str) -> None:
    with pytest.raises(FlowError) as caught:
        await Transform().execute(context, Transform.Config(**config))
    assert caught.value.record.reason is Reason.CONFIG_INVALID
    assert str(caught.value) == f"step `work`: {place}"


def test_the_output_type_is_the_declared_one() -> None:
    output = Transform.output_type({"type": "object[]", "fields": PAIR, "value": "{{ steps.a.items }}"})
    assert output.name == ""
    assert [(field.name, spelling(field.type), field.required) for field in output.fields] == [
        ("value", "object[]", True)
    ]


@pytest.mark.parametrize(
    ("config", "path"),
    [
        ({"type": "string"}, ()),
        ({"type": "text", "value": 1}, ("type",)),
        ({"type": "object", "value": 1}, ("fields",)),
        ({"type": "object", "fields": [{"name": "A"}], "value": 1}, ("fields", 0, "name")),
        ({"type": "enum", "value": 1}, ("values",)),
    ],
)
def test_a_type_that_cannot_be_read_is_shown_in_the_config(config: dict[str, Any], path: tuple[str | int, ...]) -> None:
    with pytest.raises(TypeSyntaxError) as caught:
        Transform.output_type(config)
    assert caught.value.path == path
    assert caught.value.hint or path == ("fields", 0, "name")
