"""Outputs of executors that no message can carry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from promptflow_codegen.check.shapes import misshapen
from promptflow_core.executor import Catalog, ExecutorSpec
from promptflow_core.types import SCALARS, EnumType, FieldType, ListType, MapType, ObjectType, ValueType

TEXT = SCALARS["string"]


def holding(value_type: ValueType, name: str = "a") -> ObjectType:
    return ObjectType((FieldType(name, value_type),))


def nested(depth: int) -> ValueType:
    return TEXT if depth == 0 else holding(nested(depth - 1))


SHAPES: tuple[tuple[ValueType, str], ...] = (
    (holding(ListType(ListType(TEXT))), "`a` is a list or map of lists or maps"),
    (holding(MapType(ListType(TEXT))), "`a` is a list or map of lists or maps"),
    (holding(ListType(holding(ListType(MapType(TEXT)), "b"))), "`a.b` is a list or map of lists or maps"),
    (holding(TEXT, "step_1"), "`step_1` is not a name"),
    (holding(TEXT, "camelCase"), "`camelCase` is not a name"),
    (ObjectType((FieldType("a_b", TEXT), FieldType("ab", TEXT))), "`ab` collides with `a_b`"),
    (holding(EnumType(("en-US",))), "`a` has the enum value `en-US`"),
    (holding(EnumType(("a", "A"))), "`a` has the enum value `A`, which collides with `a`"),
    (holding(EnumType(("value_x", "x"))), "`a` has the enum value `x`, which collides with `value_x`"),
    (holding(EnumType(("unspecified",))), "collides with `VALUE_UNSPECIFIED`"),
    (nested(30), "nests more than 16 levels deep"),
)


@pytest.mark.parametrize(("shape", "message"), SHAPES)
def test_a_shape_that_no_message_can_carry_is_told(shape: ValueType, message: str) -> None:
    assert any(message in problem for problem in misshapen(shape)), list(misshapen(shape))


def test_shapes_that_messages_carry_are_fine() -> None:
    shape = ObjectType(
        (
            FieldType("words", ListType(holding(EnumType(("a", "b", "value", "A_B", "values"))))),
            FieldType("scores", MapType(holding(TEXT))),
            FieldType("empty", ObjectType(())),
        )
    )
    assert list(misshapen(shape)) == []


def test_an_executor_whose_name_no_message_can_have_is_a_diagnostic(
    catalog: Catalog, diagnose: Callable[[str, Catalog], list[str]]
) -> None:
    text = "name: a\nsteps:\n  - {name: x, executor: My-Own}\n"
    (found,) = diagnose(text, {"My-Own": replace(catalog["transform"], name="My-Own")})
    assert found.startswith("flows/flow.yaml:3:25: error[bad-name]: executor `My-Own` cannot be used")


def test_an_executor_that_answers_such_a_shape_is_a_diagnostic(
    catalog: Catalog, diagnose: Callable[[str, Catalog], list[str]]
) -> None:
    def odd_type(config: object) -> ObjectType:
        return holding(ListType(ListType(TEXT)))

    odd: ExecutorSpec = replace(catalog["ocr"], name="odd", config=ObjectType(()), output_type=odd_type)
    text = "name: a\nsteps:\n  - {name: x, executor: odd}\n"
    (found,) = diagnose(text, {"odd": odd})
    assert found.startswith(
        "flows/flow.yaml:3:12: error[bad-output-type]: the output of step `x` cannot be sent: `a` is"
    )
