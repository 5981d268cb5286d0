"""Sentences of scanned pages, and lists joined with their texts."""

from __future__ import annotations

import time

import pytest
from jinja2.exceptions import FilterArgumentError, UndefinedError

from promptflow_codegen.template_filters import sentences, with_field
from promptflow_codegen.template_sandbox import FlowEnvironment

TEXTS: dict[str, tuple[str, list[str]]] = {
    "nothing": ("", []),
    "blank": (" \n \n\n", []),
    "one": ("One sentence.", ["One sentence."]),
    "no end": ("never ends", ["never ends"]),
    "line breaks are spaces": ("One\nsentence. And\nanother", ["One sentence.", "And another"]),
    "blank lines end a sentence": (
        "Dear Ms Hartwell,\n\nI bought a desk. It broke.\n \nKind regards,\nDaniel",
        ["Dear Ms Hartwell,", "I bought a desk.", "It broke.", "Kind regards, Daniel"],
    ),
    "form feeds too": ("Page one\fPage two", ["Page one", "Page two"]),
    "line ends of Windows": ("One.\r\n\r\nTwo.", ["One.", "Two."]),
    "titles": (
        "Mr. and Mrs. Smith met Dr. Who. Then they left.",
        ["Mr. and Mrs. Smith met Dr. Who.", "Then they left."],
    ),
    "initials": ("J. R. R. Tolkien wrote it. Yes.", ["J. R. R. Tolkien wrote it.", "Yes."]),
    "for example": ("Ask e.g. Bob. Or i.e. me.", ["Ask e.g. Bob.", "Or i.e. me."]),
    "decimals": ("It is 3.50 now. Good.", ["It is 3.50 now.", "Good."]),
    "times": ("We met at 5 p.m. It rained.", ["We met at 5 p.m.", "It rained."]),
    "dots inside": ("Well... perhaps. No... Never.", ["Well... perhaps.", "No...", "Never."]),
    "questions": ("Really?! Yes! no.", ["Really?!", "Yes!", "no."]),
    "quotes": ('"Is it?" he asked. "It is." She left.', ['"Is it?" he asked.', '"It is."', "She left."]),
    "numbered": ("1. First thing. 2. Second thing.", ["1. First thing.", "2. Second thing."]),
    "lower case goes on": ("The co. is small. ok", ["The co. is small. ok"]),
    "no spaces": ("你好。再见！", ["你好。", "再见！"]),
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_is_split_into_its_sentences(name: str) -> None:
    text, expected = TEXTS[name]
    assert sentences(text) == expected


@pytest.mark.parametrize("text", ["." * 200_000, "a. " * 100_000, "\n \n" * 100_000, "(" * 200_000, "x" * 1_000_000])
def test_splitting_takes_bounded_time(text: str) -> None:
    started = time.monotonic()
    sentences(text)
    assert time.monotonic() - started < 3


def test_only_texts_have_sentences() -> None:
    with pytest.raises(FilterArgumentError, match="int"):
        sentences(5)
    with pytest.raises(UndefinedError):
        FlowEnvironment().from_string("{{ missing | sentences }}").render()


def test_each_object_gets_its_counterpart() -> None:
    items = [{"label": "a"}, {"label": "b", "text": "old"}]
    assert with_field(items, "text", ("x", "y")) == [{"label": "a", "text": "x"}, {"label": "b", "text": "y"}]
    assert items[0] == {"label": "a"}


@pytest.mark.parametrize(("items", "values"), [([{}], []), ([1], [2])])
def test_lists_that_do_not_match_are_refused(items: list[object], values: list[object]) -> None:
    with pytest.raises(FilterArgumentError):
        with_field(items, "text", values)
