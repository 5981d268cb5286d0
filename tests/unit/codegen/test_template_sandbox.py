"""What templates may do when they are rendered, and what they never can."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from jinja2.exceptions import FilterArgumentError, SecurityError, TemplateAssertionError, UndefinedError
from jinja2.runtime import Undefined

from promptflow_codegen.template_sandbox import MAX_RANGE, FlowEnvironment, TemplateLimitError


@pytest.fixture(scope="module")
def environment() -> FlowEnvironment:
    return FlowEnvironment()


CONTEXT: dict[str, Any] = {
    "scores": {"items": 1, "keys": 2, "good": 0.9},
    "words": [{"text": "a", "n": 2}, {"text": "b", "n": 1}],
    "text": "some text",
    "when": datetime(2020, 1, 1, tzinfo=UTC),
    "span": timedelta(seconds=90),
}

VALUES: dict[str, Any] = {
    "scores.items": 1,
    "scores.keys": 2,
    "words | map(attribute='text') | list": ["a", "b"],
    "words | join('-', attribute='text')": "a-b",
    "words | sum(attribute='n')": 3,
    "words | map(attribute='n') | sum": 3,
    "[1.5, 2] | sum": 3.5,
    "[] | sum": 0,
    "text.upper().split()": ["SOME", "TEXT"],
    "text | replace('e', 'ee')": "somee teext",
    "text | replace('e', '', 1)": "som text",
    "'<&>' | upper": "<&>",
    "when": datetime(2020, 1, 1, tzinfo=UTC),
    "when | string": "2020-01-01T00:00:00+00:00",
    "span | string": "90s",
    "[when, span, -span, span / 80] | join(' ')": "2020-01-01T00:00:00+00:00 90s -90s 1.125s",
    "[span] | map('string') | list": ["90s"],
    "words | map(attribute='n') | tojson": "[2, 1]",
    "scores.values() | tojson": "[1, 2, 0.9]",
    "{'a': '<é>'} | tojson": '{"a": "<é>"}',
    "1.2345 | round(2)": 1.23,
    "range(3) | list": [0, 1, 2],
    "'x' * 3": "xxx",
    "3 * [1]": [1, 1, 1],
    "2 ** 10": 1024,
    "'%s!' % text": "some text!",
    "'%05.2f' % 1.5": "01.50",
    "[1, 2, 3] | batch(2) | list": [[1, 2], [3]],
    "[1, 2, 3] | slice(2) | list": [[1, 2], [3]],
    "'a\\nb' | indent(2)": "a\n  b",
    "[3, 1, 2] | sort | first": 1,
    "scores.get('none', 5)": 5,
    "text | default('x')": "some text",
    "missing | default('x')": "x",
}


@pytest.mark.parametrize("expression", VALUES)
def test_an_expression_yields_its_native_value(expression: str, environment: FlowEnvironment) -> None:
    expected = VALUES[expression]
    if isinstance(expected, type):
        with pytest.raises(expected):
            environment.compile_expression(expression)(**CONTEXT)
    else:
        assert environment.compile_expression(expression)(**CONTEXT) == expected


GROWING = (
    "10 ** 100000",
    "'a' * 10 ** 9",
    "10 ** 9 * [1]",
    "('a' * 10 ** 7) + ('a' * 10 ** 7)",
    "'%99999999d' % 1",
    "'%*d' % (99999999, 1)",
    "[1] | batch(10 ** 9) | list",
    "[1] | slice(10 ** 9) | list",
    "'a' | indent(10 ** 9)",
    "('a' * 10 ** 5) | replace('a', 'b' * 10 ** 5)",
    "('a,' * 10 ** 5).split(',') | join('b' * 10 ** 5)",
    "1.5 | round(10 ** 9, 'ceil')",
    f"range({MAX_RANGE + 1})",
)


@pytest.mark.parametrize("expression", GROWING)
def test_no_operation_makes_much_out_of_little(expression: str, environment: FlowEnvironment) -> None:
    with pytest.raises(TemplateLimitError):
        environment.compile_expression(expression)(**CONTEXT)


ABSENT = (
    "''.__class__.__mro__",
    "text.format(1)",
    "'{:>99999999}'.format(1)",
    "'{0.__class__}'.format_map({})",
    "text.ljust(10 ** 9)",
    "text.center(10 ** 9)",
    "text.zfill(10 ** 9)",
    "text.expandtabs(10 ** 9)",
    "text.join(['a'] * 2)",
    "text.replace('a', 'b')",
    "text.encode()",
    "(1).to_bytes(10 ** 9, 'big')",
    "words.append(1)",
    "words.pop()",
    "scores.update({})",
    "scores.clear()",
    "range.__init__",
    "words | attr('append')",
    "lipsum()",
    "cycler(1)",
    "namespace()",
    "[1, 2] | random",
    "[1] | pprint",
    "'a' | center(10 ** 9)",
    "'<' | escape",
)


@pytest.mark.parametrize("expression", ABSENT)
def test_what_is_not_pure_or_not_bounded_is_not_there(expression: str, environment: FlowEnvironment) -> None:
    with pytest.raises((SecurityError, UndefinedError, TemplateAssertionError)):
        result = environment.compile_expression(expression, undefined_to_none=False)(**CONTEXT)
        if isinstance(result, Undefined):
            str(result)


def test_what_is_given_to_a_template_is_not_changed(environment: FlowEnvironment) -> None:
    given: dict[str, Any] = {"words": [1, 2]}
    for text in ("{{ words.append(3) }}", "{{ words.clear() }}", "{{ words.sort() }}"):
        with pytest.raises(SecurityError):
            environment.from_string(text).render(given)
    assert given == {"words": [1, 2]}


def test_undefined_is_an_error_and_never_empty(environment: FlowEnvironment) -> None:
    with pytest.raises(UndefinedError, match="missing"):
        environment.from_string("a {{ missing }}").render()


def test_a_text_shows_times_as_flow_files_spell_them(environment: FlowEnvironment) -> None:
    shown = environment.from_string("at {{ when }} for {{ span }}, {{ 1.5 }}").render(CONTEXT)
    assert shown == "at 2020-01-01T00:00:00+00:00 for 90s, 1.5"


@pytest.mark.parametrize(
    ("expression", "error", "told"),
    [
        ("{'a': when} | tojson", FilterArgumentError, "json has no timestamps"),
        ("[span] | tojson", FilterArgumentError, "total_seconds"),
        ("missing | tojson", UndefinedError, "missing"),
        ("[scores.nope] | tojson", UndefinedError, "nope"),
    ],
)
def test_what_json_cannot_hold_is_told_with_what_to_write(
    expression: str, error: type[Exception], told: str, environment: FlowEnvironment
) -> None:
    with pytest.raises(error, match=told):
        environment.compile_expression(expression)(**CONTEXT)
