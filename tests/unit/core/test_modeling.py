"""Executors' pydantic models as types of the flow language."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field, JsonValue

from promptflow_core.modeling import Int32, object_type_of, to_native
from promptflow_core.types import EnumType, ObjectType, spelling
from promptflow_core.values import FileRef


class Mood(StrEnum):
    GOOD = "good"
    BAD = "bad"


class Inner(BaseModel):
    """An inner thing.

    More about it.
    """

    note: str


class Everything(BaseModel, arbitrary_types_allowed=True):
    text: str
    count: int
    small: Int32
    ratio: float = 0.5
    flag: bool
    data: bytes
    page: FileRef
    moment: datetime
    wait: timedelta
    anything: Any
    tree: JsonValue
    mood: Mood
    side: Literal["left", "right"]
    tags: list[str]
    weights: dict[str, float]
    inner: Inner
    inners: list[Inner]
    maybe: str | None = None
    bounded: Annotated[int, Field(gt=0)]


SPELLED = {
    "text": "string",
    "count": "integer",
    "small": "int32",
    "ratio": "number",
    "flag": "boolean",
    "data": "bytes",
    "page": "file",
    "moment": "timestamp",
    "wait": "duration",
    "anything": "json",
    "tree": "json",
    "mood": "enum",
    "side": "enum",
    "tags": "string[]",
    "weights": "map<number>",
    "inner": "object",
    "inners": "object[]",
    "maybe": "string",
    "bounded": "integer",
}


def test_every_annotation_has_its_type() -> None:
    found = object_type_of(Everything)
    assert {field.name: spelling(field.type) for field in found.fields} == SPELLED
    assert {field.name for field in found.fields if not field.required} == {"ratio", "maybe"}


def test_names_values_and_first_lines_of_docstrings_are_kept() -> None:
    found = object_type_of(Everything)
    mood, inner = found.field("mood"), found.field("inner")
    assert mood is not None
    assert mood.type == EnumType(("good", "bad"))
    assert inner is not None
    assert isinstance(inner.type, ObjectType)
    assert (inner.type.name, inner.type.description) == ("Inner", "An inner thing.")


class TwoTypes(BaseModel):
    value: int | str


class ASet(BaseModel):
    value: set[int]


@pytest.mark.parametrize("model", [TwoTypes, ASet])
def test_what_no_message_can_hold_is_refused_by_name(model: type[BaseModel]) -> None:
    with pytest.raises(TypeError, match="field 'value'"):
        object_type_of(model)


def test_absent_fields_and_enums_become_native() -> None:
    class Answer(BaseModel):
        mood: Mood
        inner: Inner
        none: str | None = None

    assert to_native(Answer(mood=Mood.BAD, inner=Inner(note="x"))) == {"mood": "bad", "inner": {"note": "x"}}
