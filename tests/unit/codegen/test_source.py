"""YAML as a tree: values, places, and texts that were made to hurt."""

from __future__ import annotations

import time
from typing import Any

import pytest

from promptflow_codegen.diagnostics import Position, Report
from promptflow_codegen.source import MAX_BYTES, parse_source
from promptflow_codegen.tree import MapNode, ScalarNode, node_at, to_plain

VALUES: dict[str, Any] = {
    "text": "text",
    "'12'": "12",
    '"\\u00e9"': "é",
    "12": 12,
    "-3": -3,
    "1_000": 1000,
    "0x1f": 31,
    "012": 10,
    "1.5": 1.5,
    ".5": 0.5,
    "1e3": 1000.0,
    "true": True,
    "on": True,
    "No": False,
    "~": None,
    "null": None,
    "": None,
    "2024-05-06": "2024-05-06",
    "2024-05-06T07:08:09Z": "2024-05-06T07:08:09Z",
    "12:30:45": "12:30:45",
    "[1, [a], {b: c}]": [1, ["a"], {"b": "c"}],
    "<<": "<<",
}


@pytest.mark.parametrize("written", VALUES)
def test_a_value_is_read_as_yaml_has_it(written: str) -> None:
    report = Report("x.yaml")
    root = parse_source(f"key: {written}\n".encode(), report)
    assert (to_plain(root), report.diagnostics) == ({"key": VALUES[written]}, ())


PLACES = (
    ("plain", "k: some {{ x }}", "x", 0, Position(1, 12)),
    ("double quotes", 'k: "some {{ x }}"', "x", 0, Position(1, 13)),
    ("escapes before it", 'k: "\\u00e9 \\" \\n {{ x }}"', "x", 0, Position(1, 21)),
    ("single quotes with a quote inside", "k: 'it''s {{ x }}'", "x", 0, Position(1, 14)),
    ("literal block", "k: |\n  one\n  two x\n", "x", 0, Position(3, 7)),
    ("folded block", "k: >-\n  one\n  two\n\n    x\n", "x", 0, Position(5, 5)),
    ("block with a header comment", "k: | # x\n  one x\n", "x", 0, Position(2, 7)),
    ("folded plain text", "k: one\n   two\n   x\n", "x", 0, Position(3, 4)),
    ("after letters of several bytes", 'é: "ü€😀 x"', "x", 0, Position(1, 9)),
)


@pytest.mark.parametrize("case", PLACES, ids=lambda case: case[0])
def test_a_character_of_a_text_is_found_where_it_is_written(case: tuple[str, str, str, int, Position]) -> None:
    _, text, character, occurrence, expected = case
    root = parse_source(text.encode(), Report("x.yaml"))
    assert isinstance(root, MapNode)
    node = root.entries[0].value
    assert isinstance(node, ScalarNode)
    offset = [i for i, found in enumerate(str(node.value)) if found == character][occurrence]
    assert node.at(offset) == expected


def test_an_offset_beyond_the_text_is_its_end() -> None:
    root = parse_source(b'k: "abc"', Report("x.yaml"))
    node = node_at(root, ("k",)) if root else None
    assert isinstance(node, ScalarNode)
    assert node.at(99) == Position(1, 8)


def test_a_path_leads_as_far_as_there_are_nodes() -> None:
    root = parse_source(b"a: [{b: 1}]", Report("x.yaml"))
    assert root is not None
    deepest = node_at(root, ("a", 0, "b"))
    assert (deepest.position, node_at(root, ("a", 0, "missing", 3)).position) == (Position(1, 9), Position(1, 5))


HOSTILE: dict[str, tuple[bytes, str]] = {
    "open lists": (b"[" * 900_000, "too-deep"),
    "open mappings": (b"{a: " * 200_000, "too-deep"),
    "nested dashes": (b"- " * 500_000, "too-deep"),
    "question marks": (b"? " * 500_000, "syntax"),
    "anchors": (b"&a " * 300_000, "anchor"),
    "a billion laughs": (b"a: &a [x]\nb: &b [*a, *a]\nc: [*b, *b]\n", "anchor"),
    "an alias of itself": (b"a: &a [*a]", "anchor"),
    "a tag for Python objects": (b"!!python/object/apply:os.system [id]", "tag"),
    "tabs": (b"\t" * MAX_BYTES, "tab"),
    "colons": (b":" * MAX_BYTES, "syntax"),
    "backslashes": (b'"' + b"\\" * 1_000_000, "syntax"),
    "directives": (b"%TAG " * 200_000, "syntax"),
    "too many bytes": (b"a" * (MAX_BYTES + 1), "too-large"),
    "no UTF-8": (b"\xff\xfe\x00", "not-utf8"),
    "surrogates": (b"a: \xed\xa0\x80", "not-utf8"),
    "NUL": (b"a: \x00", "syntax"),
    "escape characters": (b"a: \x1b[31m", "syntax"),
    "NUL, escaped": (b'a: "\\0"', "syntax"),
    "an escape character, escaped": (b'a: "\\e[31m"', "syntax"),
    "a control character in a key": (b'"\\x07": 1', "syntax"),
    "a number of a million digits": (b"a: " + b"9" * 1_000_000, "syntax"),
    "infinity": (b"a: -.Inf", "syntax"),
    "no number": (b"a: .nan", "syntax"),
    "nothing": (b"", "empty-file"),
    "comments alone": (b"# nothing\n", "empty-file"),
}


@pytest.mark.parametrize(
    "name", ["open lists", "too many bytes", "a number of a million digits", "infinity", "no number"]
)
def test_a_limit_is_told_with_what_to_do(name: str) -> None:
    report = Report("x.yaml")
    parse_source(HOSTILE[name][0], report)
    assert all(found.hint for found in report.diagnostics)


def test_the_depth_that_the_tree_refuses_has_a_hint_too() -> None:
    report = Report("x.yaml")
    assert parse_source(b"[" * 60 + b"]" * 60, report) is None
    assert [(found.code, bool(found.hint)) for found in report.diagnostics] == [("too-deep", True)]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_text_is_refused_by_one_diagnostic_in_bounded_time(name: str) -> None:
    data, code = HOSTILE[name]
    report = Report("x.yaml")
    started = time.monotonic()
    root = parse_source(data, report)
    elapsed_s = time.monotonic() - started
    assert (root, [found.code for found in report.diagnostics]) == (None, [code])
    assert elapsed_s < 3


def test_the_largest_text_that_is_allowed_is_read_in_bounded_time() -> None:
    data = "".join(f"k{i}: v\n" for i in range(100_000)).encode()[:MAX_BYTES]
    started = time.monotonic()
    root = parse_source(data, Report("x.yaml"))
    assert isinstance(root, MapNode)
    assert len(root.entries) > 90_000
    assert time.monotonic() - started < 8


def test_a_million_mistakes_are_not_all_told() -> None:
    report = Report("x.yaml")
    parse_source(b"a: 1\n" * 10_000, report)
    assert [len(report.diagnostics), report.diagnostics[-1].message] == [51, "and 9949 more"]
