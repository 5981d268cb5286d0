"""Templates parsed: what kind they are, what they read, where they are wrong."""

from __future__ import annotations

import time

import pytest

from promptflow_codegen.template_syntax import (
    MAX_DEPTH,
    MAX_LENGTH,
    Read,
    TemplateError,
    TemplateKind,
    parse_template,
    template_environment,
)

LITERAL, EXPRESSION, TEXT = TemplateKind.LITERAL, TemplateKind.EXPRESSION, TemplateKind.TEXT

KINDS = (
    ("", LITERAL, ""),
    ("plain { text }", LITERAL, ""),
    ("{{ a }}", EXPRESSION, "a"),
    ("{{- a | upper -}}", EXPRESSION, "a | upper"),
    ("{{ a }}\n", EXPRESSION, "a"),
    ("{# why #}{{ a }}", EXPRESSION, "a"),
    ("{{ '}}' }}", EXPRESSION, "'}}'"),
    (" {{ a }}", TEXT, ""),
    ("{{ a }}{{ b }}", TEXT, ""),
    ("{{ a }} b", TEXT, ""),
    ("{% if a %}b{% endif %}", TEXT, ""),
    ("{% raw %}{{ a }}{% endraw %}", TEXT, ""),
    ("{# nothing #}", TEXT, ""),
)


@pytest.mark.parametrize(("text", "kind", "expression"), KINDS)
def test_a_text_that_is_exactly_one_expression_is_told_from_all_others(
    text: str, kind: TemplateKind, expression: str
) -> None:
    parsed = parse_template(text)
    assert (parsed.kind, parsed.expression) == (kind, expression)


READS = (
    ("{{ steps.ocr.text }}", [("steps", "ocr", "text")]),
    ("{{ steps['ocr'].words[0].text }}", [("steps", "ocr", "words", 0, "text")]),
    ("{{ (steps.s | first).label }}", [("steps", "s")]),
    ("{{ inputs.a[inputs.i].z }}", [("inputs", "a"), ("inputs", "i")]),
    ("{{ inputs.text.upper().x }}", [("inputs", "text")]),
    ("{{ range(inputs.n) | list }}", [("inputs", "n")]),
    ("{% for s in inputs.l if s %}{{ s.x }}{{ loop.index }}{{ t }}{% endfor %}", [("inputs", "l"), ("t",)]),
    ("{% for a, b in inputs.m.items() %}{{ a }}{{ b }}{% else %}{{ a }}{% endfor %}", [("inputs", "m"), ("a",)]),
    ("{{ a if b else c }}", [("a",), ("b",), ("c",)]),
    ("{{ [a, {'k': b}] + (c,) }}", [("a",), ("b",), ("c",)]),
    ("{{ a is defined and b is divisibleby(c) }}", [("a",), ("b",), ("c",)]),
    ("{{ a[b:c] }}", [("a",), ("b",), ("c",)]),
    ("{{ a ~ b }} {{ -c }} {{ not d }}", [("a",), ("b",), ("c",), ("d",)]),
)


@pytest.mark.parametrize(("text", "paths"), READS)
def test_everything_that_a_template_reads_is_found(text: str, paths: list[tuple[str | int, ...]]) -> None:
    assert sorted(map(str, (read.path for read in parse_template(text).reads))) == sorted(map(str, paths))


def test_the_steps_that_a_template_waits_for_are_named_once_in_order() -> None:
    assert parse_template("{{ steps.b.x }}{{ steps.a.x }}{{ steps.b.y }}").steps == ("b", "a")


def test_a_plain_read_knows_where_each_part_of_it_stands() -> None:
    assert parse_template("{{ steps.ocr['text'] }}").direct == Read(("steps", "ocr", "text"), (3, 9, 13))
    assert parse_template("{{ steps.ocr | list }}").direct is None


ERRORS = (
    ("{{ a b }}", "template-syntax", 5),
    ("{{ a", "template-syntax", 3),
    ("text {{ 'x }}", "template-syntax", 8),
    ("{{ }}", "template-syntax", 3),
    ("ok\n{{ x | foo }}", "unknown-filter", 10),
    ("{{ x is foo }}", "unknown-test", 5),
    ("{% set x = 1 %}", "template-statement", 3),
    ("{% filter upper %}x{% endfilter %}", "template-statement", 3),
    ("{% call f() %}{% endcall %}", "template-statement", 3),
    ("{% from 'x' import y %}", "template-statement", 3),
    ("{% extends 'x' %}", "template-statement", 3),
    ("{% with %}{% endwith %}", "template-statement", 3),
    ("{% autoescape true %}{% endautoescape %}", "template-statement", 0),
    ("{% for a in b recursive %}{% endfor %}", "template-limit", 3),
    ("{% unknown %}", "template-syntax", 3),
    ("{{ 1" + "0" * 5000 + " }}", "template-syntax", 0),
    ("{{ '\\N{no such character}' }}", "template-syntax", 3),
)


@pytest.mark.parametrize(("text", "code", "offset"), ERRORS)
def test_a_mistake_is_told_with_its_place(text: str, code: str, offset: int) -> None:
    with pytest.raises(TemplateError) as caught:
        parse_template(text)
    assert (caught.value.code, caught.value.offset) == (code, offset)


HOSTILE = {
    "parentheses": "{{ " + "(" * 20_000 + " }}",
    "closed parentheses": "{{ " + "(" * 20_000 + "1" + ")" * 20_000 + " }}",
    "nots": "{{ " + "not " * 15_000 + "a }}",
    "a chain of sums": "{{ " + "a+" * 30_000 + "a }}",
    "a chain of attributes": "{{ a" + ".a" * 30_000 + " }}",
    "a chain of filters": "{{ a" + "|list" * 12_000 + " }}",
    "a chain of ifs": "{{ " + "a if b else " * 5_000 + "c }}",
    "nested ifs": "{% if a %}" * 3_000 + "{% endif %}" * 3_000,
    "openings": "{{" * 30_000,
    "quotes": "{{ " + "'" * 60_001 + " }}",
    "too long": "{{ a }}" + " " * MAX_LENGTH,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_template_is_refused_in_bounded_time(name: str) -> None:
    started = time.monotonic()
    with pytest.raises(TemplateError):
        parse_template(HOSTILE[name])
    assert time.monotonic() - started < 3


def test_the_deepest_template_that_is_allowed_can_be_compiled() -> None:
    text = "{{ " + "[" * (MAX_DEPTH - 4) + "a" + "]" * (MAX_DEPTH - 4) + " }}"
    assert parse_template(text).kind is EXPRESSION
    assert template_environment().from_string(text).render(a="x").count("x") == 1
