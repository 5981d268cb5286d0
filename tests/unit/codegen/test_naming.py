"""Names of flows as names of messages."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptflow_codegen.compile import ProtocError, compile_descriptors
from promptflow_codegen.naming import ZERO_VALUE, camel, enum_folded, folded, kebab, snake
from promptflow_core.type_syntax import FIELD_NAME


def test_names_change_their_spelling() -> None:
    assert (camel("sentiment_analysis"), kebab("a_b_c"), snake("HomeAddress")) == (
        "SentimentAnalysis",
        "a-b-c",
        "home_address",
    )


@given(st.from_regex(FIELD_NAME, fullmatch=True))
@settings(deadline=None)
def test_a_message_name_leads_back_to_its_field(name: str) -> None:
    assert snake(camel(name)) == name


def test_names_that_json_would_not_tell_apart_are_folded_together() -> None:
    assert folded("first_name") == folded("firstname")


PAIRS = {
    ("value_a", "a"): True,
    ("VALUE_A", "a"): True,
    ("values", "s"): True,
    ("a_B", "A_b"): True,
    ("a1", "a_1"): True,
    ("Unspecified", "x"): True,
    ("value_unspecified", "x"): True,
    ("a_b", "ab"): False,
    ("value", "x"): False,
    ("valid", "id"): False,
    ("va_lue_x", "x"): True,
}


@pytest.mark.parametrize("pair", PAIRS)
def test_enum_values_are_folded_as_protoc_does_it(pair: tuple[str, str], capfd: pytest.CaptureFixture[str]) -> None:
    first, second = pair
    values = f"{ZERO_VALUE} = 0; {first} = 1; {second} = 2;"
    try:
        compile_descriptors({"x.proto": f'syntax = "proto3"; message M {{ enum Value {{ {values} }} }}'})
        collides = False
    except ProtocError:
        collides = True
    names = {enum_folded(name) for name in (ZERO_VALUE, first, second)}
    assert (len(names) < 3, collides) == (PAIRS[pair], PAIRS[pair])
    capfd.readouterr()
