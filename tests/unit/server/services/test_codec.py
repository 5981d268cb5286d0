from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptflow_core.coercion import CoercionError
from promptflow_core.values import FileRef, NativeValue
from promptflow_server.services.codec import RemoteFile, Upload, decode_message, encode_message
from promptflow_server.services.contracts import FlowContract, Message
from promptflow_server.services.json_values import MAX_JSON_DEPTH, decode_json, encode_json, plain_json

INT64 = st.integers(-(2**63), 2**63 - 1)
INT32 = st.integers(-(2**31), 2**31 - 1)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
DOUBLE = st.floats(allow_nan=False)
JSON_NUMBER = st.one_of(
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False, allow_infinity=False).filter(lambda x: not x.is_integer() or abs(x) > 2**53),
)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), JSON_NUMBER, TEXT),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)),
    max_leaves=8,
)
FILE = st.one_of(
    st.builds(FileRef, TEXT, TEXT, TEXT),
    st.builds(RemoteFile, TEXT, TEXT, TEXT),
    st.builds(Upload, st.binary(max_size=8), TEXT, TEXT),
)
TIME = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC))
SPAN = st.timedeltas(timedelta(days=-3_000_000), timedelta(days=3_000_000))
SPEED = st.sampled_from(["fast", "Slow"])
AUTHOR = st.fixed_dictionaries({}, optional={"name": TEXT, "age": INT64})
INPUTS = st.fixed_dictionaries(
    {},
    optional={
        "text": TEXT,
        "count": INT64,
        "small": INT32,
        "ratio": DOUBLE,
        "flag": st.booleans(),
        "data": st.binary(max_size=8),
        "document": FILE,
        "speed": SPEED,
        "at": TIME,
        "wait": SPAN,
        "extra": JSON,
        "tags": st.lists(TEXT, min_size=1, max_size=3),
        "weights": st.dictionaries(TEXT, DOUBLE, min_size=1, max_size=3),
        "author": AUTHOR,
        "reviewers": st.lists(AUTHOR, min_size=1, max_size=2),
        "pages": st.lists(FILE, min_size=1, max_size=2),
        "speeds": st.lists(SPEED, min_size=1, max_size=2),
        "people": st.dictionaries(TEXT, AUTHOR, min_size=1, max_size=2),
    },
)


def encoded(contract: FlowContract, values: dict[str, NativeValue]) -> Message:
    message = contract.execute_request()
    encode_message(values, message)
    return message


@given(values=INPUTS)
def test_native_values_come_back_unchanged_over_the_wire(
    contract: FlowContract, values: dict[str, NativeValue]
) -> None:
    data = encoded(contract, values).SerializeToString()
    assert decode_message(contract.execute_request.FromString(data)) == values


@given(values=INPUTS)
def test_types_come_back_too(contract: FlowContract, values: dict[str, NativeValue]) -> None:
    decoded = decode_message(encoded(contract, values))
    assert {name: type(value) for name, value in decoded.items()} == {
        name: type(value) for name, value in values.items()
    }


@pytest.mark.parametrize("values", [{"count": 0}, {"text": ""}, {"flag": False}, {"ratio": 0.0}, {"data": b""}])
def test_zero_is_a_value_and_not_absence(contract: FlowContract, values: dict[str, NativeValue]) -> None:
    assert decode_message(encoded(contract, values)) == values


@pytest.mark.parametrize(
    "values", [{}, {"text": None}, {"tags": []}, {"weights": {}}, {"author": None}, {"unheard_of": 1}]
)
def test_absence_sets_nothing(contract: FlowContract, values: dict[str, NativeValue]) -> None:
    assert encoded(contract, values).SerializeToString() == b""


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"extra": 1.0}, {"extra": 1}),
        ({"extra": [2.0, {"a": -0.0}]}, {"extra": [2, {"a": 0}]}),
        ({"extra": 1e300}, {"extra": 1e300}),
        ({"extra": {}}, {"extra": {}}),
        ({"extra": []}, {"extra": []}),
        ({"extra": None}, {"extra": None}),
        ({"ratio": 3}, {"ratio": 3.0}),
        (
            {"at": datetime(2031, 1, 1, 2, tzinfo=timezone(timedelta(hours=2)))},
            {"at": datetime(2031, 1, 1, tzinfo=UTC)},
        ),
    ],
)
def test_what_means_the_same_comes_back_in_one_form(
    contract: FlowContract, values: dict[str, NativeValue], expected: dict[str, NativeValue]
) -> None:
    decoded = decode_message(encoded(contract, values))
    assert repr(decoded) == repr(expected)


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({"text": 5}, "text"),
        ({"text": "\ud800"}, "text"),
        ({"count": 2**63}, "count"),
        ({"count": "5"}, "count"),
        ({"speed": "slow"}, "speed"),
        ({"tags": "ab"}, "tags"),
        ({"tags": ["ab", 1]}, "tags"),
        ({"weights": [1]}, "weights"),
        ({"author": "me"}, "author"),
        ({"author": {"age": "old"}}, "author.age"),
        ({"reviewers": [{}, {"name": 1}]}, "reviewers[1].name"),
        ({"people": {"x": {"age": 0.5}}}, "people[x].age"),
        ({"at": "now"}, "at"),
        ({"wait": 5}, "wait"),
        ({"document": b"bytes"}, "document"),
        ({"extra": math.nan}, "extra"),
        ({"extra": {"a": [math.inf]}}, "extra.a[0]"),
        ({"extra": 10**400}, "extra"),
        ({"extra": {"a": [10**400]}}, "extra.a[0]"),
        ({"extra": object()}, "extra"),
    ],
)
def test_a_value_that_does_not_fit_is_told_with_its_path(
    contract: FlowContract, values: dict[str, NativeValue], path: str
) -> None:
    with pytest.raises(CoercionError) as caught:
        encoded(contract, values)
    assert caught.value.path == path


@pytest.mark.parametrize(
    ("fill", "path"),
    [
        (lambda request: setattr(request.at, "seconds", 2**60), "at"),
        (lambda request: setattr(request.wait, "seconds", 2**60), "wait"),
        (lambda request: setattr(request.extra, "number_value", math.nan), "extra"),
        (lambda request: setattr(request.extra.struct_value.fields["a"], "number_value", math.inf), "extra.a"),
    ],
)
def test_a_message_without_native_form_is_told_with_its_path(contract: FlowContract, fill: Any, path: str) -> None:
    request = contract.execute_request()
    fill(request)
    with pytest.raises(CoercionError) as caught:
        decode_message(request)
    assert caught.value.path == path


@pytest.mark.parametrize(
    ("native", "plain"),
    [
        (2**53, 2**53),
        (2**53 + 1, 2.0**53),
        (-(2**64), -(2.0**64)),
        (float(2**53), 2**53),
        (2.0**60, 2.0**60),
        (0.5, 0.5),
        (True, True),
        ([1.0, {"a": [2**70, "x", None]}], [1, {"a": [2.0**70, "x", None]}]),
        (10**400, 10**400),
    ],
)
def test_numbers_of_json_are_in_the_one_form_that_every_face_gives(native: NativeValue, plain: NativeValue) -> None:
    assert repr(plain_json(native)) == repr(plain)


def test_a_number_of_json_that_is_too_large_to_be_a_whole_one_comes_back_as_a_float(contract: FlowContract) -> None:
    decoded = decode_message(encoded(contract, {"extra": [{"a": 2**64}]}))
    assert repr(decoded) == repr({"extra": [{"a": 2.0**64}]})


def nested(depth: int) -> NativeValue:
    value: NativeValue = 1
    for _ in range(depth):
        value = {"a": value}
    return value


def test_json_may_nest_to_the_limit_and_survives_the_deepest_answer(contract: FlowContract) -> None:
    event = contract.event()
    deepest = nested(MAX_JSON_DEPTH)
    encode_message({"inspect": {"extra": deepest}}, event.done.result)
    again = contract.event.FromString(event.SerializeToString())
    assert decode_json(again.done.result.inspect.extra) == deepest


def test_json_beyond_the_limit_is_refused_both_ways(contract: FlowContract) -> None:
    with pytest.raises(CoercionError, match="deeper than"):
        encoded(contract, {"extra": nested(MAX_JSON_DEPTH + 1)})
    value = contract.execute_request().extra
    encode_json(nested(MAX_JSON_DEPTH), value)
    outer = contract.execute_request()
    outer.extra.list_value.values.add().CopyFrom(value)
    with pytest.raises(CoercionError, match="deeper than"):
        decode_message(outer)


def test_an_enum_number_that_nobody_knows_is_shown_as_it_is(contract: FlowContract) -> None:
    request = contract.execute_request()
    request.speed = 99
    assert decode_message(request) == {"speed": "99"}
