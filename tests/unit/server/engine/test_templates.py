"""TemplateEngine: native types, clear failures, bounded cost."""

from __future__ import annotations

import time
from typing import Any

import pytest
from tests.unit.server.engine.plans import INPUTS, flow, step

from promptflow_codegen.plan import FlowPlan
from promptflow_core.errors import FlowError, Reason
from promptflow_core.types import SCALARS, FieldType, Kind, ObjectType
from promptflow_core.values import FileRef, decode_value
from promptflow_server.engine.scope import Item, Scope
from promptflow_server.engine.template_budget import TemplateLimits
from promptflow_server.engine.templates import MAX_ITEMS, TemplateEngine

PAGE = FileRef("x/abc", "image/png", "page.png", 7)
OCR = ObjectType((FieldType("text", SCALARS[Kind.STRING]), FieldType("note", SCALARS[Kind.STRING])))
INPUT_VALUES: dict[str, Any] = {"text": "hello", "count": 0, "tags": ["a", "b"]}
STEPS: dict[str, Any] = {
    "ocr": {"text": "Mr. A came. He left!", "words": [{"text": "Mr."}, {"text": "A"}], "page": PAGE, "items": 3},
    "each": [{"label": "p", "n": 1}, {"label": "n", "n": 2}],
}


def rendered(value: Any, *, item: Item | None = None, limits: TemplateLimits | None = None, **inputs: Any) -> Any:
    plan = flow(step("ocr", output=OCR), step("each"), step("gone"), step("late"), step("here", value))
    engine = TemplateEngine(plan, limits=limits)
    return decode_value(engine.config(plan.step("here"), scope(**inputs), item))["value"]


def scope(**inputs: Any) -> Scope:
    system = {"execution_id": "x", "flow": "sample", "version": 1}
    return Scope({**INPUT_VALUES, **inputs}, STEPS, frozenset({"gone"}), system)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("plain", "plain"),
        (3, 3),
        (None, None),
        ({"a": ["{{ inputs.count }}", {"b": "x{{ inputs.count }}"}]}, {"a": [0, {"b": "x0"}]}),
        ("{{ inputs.count }}", 0),
        ("{{ inputs.text }}!", "hello!"),
        ("{{ inputs.tags }}", ["a", "b"]),
        ("{{ steps.ocr.page }}", PAGE),
        ("{{ [steps.ocr.page] }}", [PAGE]),
        ("{{ steps.ocr.items }}", 3),
        ("{{ steps.each | map(attribute='label') }}", ["p", "n"]),
        ("{{ (steps.each | first).label }}", "p"),
        ("{{ steps.ocr.text | sentences }}", ["Mr. A came.", "He left!"]),
        ("{{ steps.each | with_field('text', inputs.tags) | map(attribute='text') }}", ["a", "b"]),
        ("{{ (1, 2) }}", [1, 2]),
        ("{{ {'a': range(2)} }}", {"a": [0, 1]}),
        ("{{ inputs.count > 0 or 'x' == 'x' }}", True),
        ("{{ 'none' if not steps.each else 'some' }}", "some"),
        (
            "{% for tag in inputs.tags %}{{ loop.index }}{{ tag }}{% if not loop.last %},{% endif %}{% endfor %}",
            "1a,2b",
        ),
        ("{{ system.flow }}/{{ system.version }}", "sample/1"),
        ("{{ steps.gone.value | default('-') }}", "-"),
        ("{{ steps.gone.value.deeper | default('-') }}", "-"),
        ("{{ steps.gone is defined }}", False),
        ("{{ inputs.note | default('none given') }}", "none given"),
        ("{{ inputs.note }}", None),
        ("{{ steps.ocr.note }}", None),
        ("{{ 'a' ~ 1 ~ inputs.tags[0] }}", "a1a"),
        ("{{ inputs.tags + ['c'] }}", ["a", "b", "c"]),
        ("{{ 3 * 'ab' }}", "ababab"),
        # Fields may be called as methods of a mapping are, and be absent all the same.
        ("{{ inputs.values is defined }}", False),
        ("{{ inputs['items'] | default('D') }}", "D"),
        ("{{ steps.ocr.get | default('D') }}", "D"),
        ("{{ inputs.tags and inputs.pop is defined }}", False),
        ("{{ steps.ocr.keys() | list | first }}", "text"),
        ("{{ inputs.get('count') }}", 0),
        ("{{ steps.each | sum(attribute='n') }}", 3),
        ("{{ steps.each | sum('n', 10) }}", 13),
    ],
)
def test_values_keep_their_type_and_text_is_text(value: Any, expected: Any) -> None:
    assert rendered(value) == expected


def test_an_item_is_seen_with_its_index() -> None:
    assert rendered("{{ [item.a, index] }}", item=Item({"a": 5}, 3)) == [5, 3]


def test_empty_lists_are_lists_though_a_message_does_not_carry_them() -> None:
    plan = flow(step("here", "{{ inputs.tags | length }}"))
    config = TemplateEngine(plan).config(plan.step("here"), Scope({}, {}, frozenset(), {}), None)
    assert decode_value(config) == {"value": 0}


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("{{ steps.ocr.txt }}", "`steps.ocr` has no `txt`; it has `text`, `words`, `page`, `items`"),
        ("a {{ steps.ocr.txt }}", "`steps.ocr` has no `txt`"),
        ("{{ steps.ocr.txt | upper }}", "`steps.ocr` has no `txt`"),
        ("{{ steps.ocr.txt.more }}", "`steps.ocr` has no `txt`"),
        ("{{ steps.ocr.words[7] }}", "`steps.ocr.words` has no `7`; the list has 2 items"),
        ("{{ steps.each.label }}", "`steps.each` has no `label`; it is a list"),
        ("{{ steps.ocr.text.nope }}", "has no `nope`; it is a str"),
        ("{{ inputs.nope }}", "`inputs` has no `nope`; it has `text`, `count`, `tags`"),
        ("a {{ inputs.note }}", "input `note` was not given and has no default"),
        ("{{ inputs.note | upper }}", "input `note` was not given and has no default"),
        ("{{ nope }}", "`nope` is not defined; templates see `inputs`, `steps`, `system`"),
        ("{{ item }}", "`item` is not defined"),
        ("{{ steps.gone.value }}", "step `gone` was skipped; say what holds then: `| default(...)`"),
        ("{{ steps.gone }}", "step `gone` was skipped"),
        ("{{ steps['gone'].value }}", "step `gone` was skipped"),
        ("{{ [steps.gone.value] }}", "step `gone` was skipped"),
        ("x{{ steps.gone.value.deeper }}", "step `gone` was skipped"),
        ("{{ steps.ocr.nope or steps.gone.value | default(1) }}", "`steps.ocr` has no `nope`"),
        ("{{ steps.late.value + 1 }}", "step `late` is not over yet"),
        ("{{ steps }}", "step `gone` was skipped"),
        ("{{ 'a' if false }}", "an `if` that does not hold has no `else`"),
        ("x{{ 'a' if false }}", "an `if` that does not hold has no `else`"),
        ("{{ 1 / 0 }}", "division by zero"),
        ("{{ inputs.text + 1 }}", "can only concatenate"),
        ("{{ inputs.text.upper }}", "it yields a method; call it with `()`"),
        ("{{ {1: 2} }}", "the keys of a mapping are strings, not int"),
        ("{{ 2 ** 100 }}", "cannot be stored"),
        ("{{ inputs.note | tojson }}", "input `note` was not given and has no default"),
        ("{{ {'a': inputs.note} | tojson }}", "input `note` was not given and has no default"),
        ("{{ inputs.text.__class__ }}", "unsafe"),
        ("{{ inputs.text | truncate(2) }}", "expected length >= 3, got 2"),
        ("{{ inputs.values }}", "`inputs` has no `values`"),
        ("{{ inputs.values | upper }}", "`inputs` has no `values`"),
    ],
)
def test_what_fails_names_step_template_and_what_is_missing(value: str, says: str) -> None:
    with pytest.raises(FlowError) as caught:
        rendered(value)
    record = caught.value.record
    assert record.reason is Reason.TEMPLATE_FAILED
    assert says in record.message
    assert "step `here`" in record.message
    assert record.metadata["step"] == "here"


def test_the_place_in_the_config_is_named() -> None:
    with pytest.raises(FlowError, match=r"step `here`, `config\.value\.a\[1\]`: `\{\{ nope \}\}`") as caught:
        rendered({"a": [1, "{{ nope }}"]})
    assert caught.value.record.metadata["template"] == "config.value.a[1]"


def _often(text: str) -> str:
    return "{% for a in range(1000) %}{% for b in range(90) %}" + text + "{% endfor %}{% endfor %}"


LARGE = "Dear Mr. Smith, this is a line. It goes on here!\n" * 20_000

HOSTILE = {
    "repeated text": "{{ 'a' * 100000000 }}",
    "text in text": "{{ ('a' * 1000000) * 1000 }}",
    "a product": "{{ inputs.text * 99999999 }}",
    "nested lists": "{{ [[[[0]*1000]*1000]*1000]*1000 }}",
    "nested lists as text": "{{ ([[[0]*1000]*1000]*1000) | string | length }}",
    "many copies": "{{ [" + ", ".join(["inputs.tags"] * 4000) + "] | string | length }}",
    "loops in loops": "{% for a in range(1000) %}{% for b in range(1000) %}{% endfor %}{% endfor %}",
    "much output": "{% for a in range(1000) %}{{ 'x' * 2000 }}{% endfor %}",
    "joined text": "{% for a in range(1000) %}{% if ('x' * 9000) ~ ('y' * 9000) == 'z' %}{% endif %}{% endfor %}",
    "wide format": "{{ '%99999999d' % 1 }}",
    "a large range": "{{ range(100000000) | list }}",
    "a large replacement": "{{ ('a' * 100000) | replace('a', 'a' * 10000) }}",
    "a huge power": "{{ 10 ** 100000000 }}",
    "a search in large text": _often("{% if 'zz' in inputs.note %}{% endif %}"),
    "a search by a test": _often("{% if 'zz' is in inputs.note %}{% endif %}"),
    "sentences again and again": _often("{% if inputs.note | sentences %}{% endif %}"),
    "letters in order": _often("{% if inputs.note | sort %}{% endif %}"),
    "letters, each once": _often("{% if inputs.note | unique | list %}{% endif %}"),
    "wrapped text": _often("{% if inputs.note | wordwrap(9) %}{% endif %}"),
    "a method": _often("{% if inputs.note.split() %}{% endif %}"),
    "a method that answers little": _often("{% if inputs.note.count('zz') %}{% endif %}"),
    "a slice": _often("{% if inputs.note[1:] %}{% endif %}"),
    "equal texts": _often("{% if inputs.note == inputs.copy %}{% endif %}"),
    "unequal texts": _often("{% if 'a' < inputs.note[:] < inputs.note %}{% endif %}"),
    "equal lists": _often("{% if inputs.rows[0] == inputs.rows[1] %}{% endif %}"),
    "a list of lists as text": _often("{% if [inputs.tags, inputs.tags] | tojson %}{% endif %}"),
    "a huge wait": "{% for a in range(1000) %}{% for b in range(1000) %}{{ 1 ** b }}{% endfor %}{% endfor %}",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_template_ends_soon_with_a_typed_error(name: str) -> None:
    copy = LARGE[:-1] + LARGE[-1]
    rows = [[["x"] for _ in range(1000)] for _ in range(2)]
    begin = time.perf_counter()
    with pytest.raises(FlowError) as caught:
        rendered(HOSTILE[name], tags=["x" * 100] * 1000, note=LARGE, copy=copy, rows=rows)
    assert caught.value.record.reason is Reason.TEMPLATE_LIMIT
    assert "longer than" not in caught.value.record.message, "the clock decided"
    assert time.perf_counter() - begin < 3


@pytest.mark.parametrize(
    "value",
    [
        "{% for word in inputs.tags %}{{ word in inputs.note }}{% endfor %}",
        "{% for line in inputs.note.splitlines() %}{% if line == '' %}-{% endif %}{% endfor %}",
        "{% for tag in inputs.tags %}{{ loop.index }} of {{ inputs.tags | length }}{{ tag | upper }}{% endfor %}",
        "{{ inputs.note | sentences | length }}",
        "{{ inputs.note | wordcount }} {{ inputs.note | replace('Smith', 'Brown') | length }}",
    ],
)
def test_work_on_a_large_text_is_within_the_limit(value: str) -> None:
    rendered(value, note=LARGE, tags=["Smith", "line", "nobody"] * 10)


def test_a_busy_machine_renders_as_an_idle_one() -> None:
    now = [0.0]

    def clock() -> float:
        now[0] += 0.1
        return now[0]

    plan = flow(step("here", "{% for tag in inputs.tags %}{{ tag }}{% endfor %}"))
    config = TemplateEngine(plan, clock=clock).config(plan.step("here"), scope(tags=["a"] * 20), None)
    assert decode_value(config) == {"value": "a" * 20}
    assert now[0] > 2


def test_wall_time_is_bounded() -> None:
    ticks = iter(range(0, 1000, 4))
    plan = flow(step("here", "{% for tag in inputs.tags %}{{ tag }}{% endfor %}"))
    engine = TemplateEngine(plan, clock=lambda: float(next(ticks)))
    with pytest.raises(FlowError, match="it takes longer than 10 s") as caught:
        engine.config(plan.step("here"), scope(tags=["a"] * 10), None)
    assert caught.value.record.reason is Reason.TEMPLATE_LIMIT


def test_a_value_that_is_passed_on_is_not_output_of_the_template() -> None:
    large = "x" * (2 << 20)
    assert rendered("{{ inputs.text }}", text=large) == large
    with pytest.raises(FlowError, match="it yields more than 1048576 bytes"):
        rendered("{{ inputs.text }}!", text=large)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("{{ inputs.count == 0 }}", True),
        ("{{ not true }}", False),
        ("{{ inputs.count }}", None),
        ("yes", None),
        ("{{ '' }}", None),
    ],
)
def test_a_condition_is_true_or_false_and_nothing_else(condition: str, expected: bool | None) -> None:
    plan = flow(step("here", condition=condition))
    engine = TemplateEngine(plan)
    if expected is None:
        with pytest.raises(FlowError, match="a condition is true or false"):
            engine.condition(plan.step("here"), scope())
    else:
        assert engine.condition(plan.step("here"), scope()) is expected


def test_a_list_of_items_has_a_limit() -> None:
    plan = flow(step("here", for_each="{{ inputs.tags }}"))
    engine, here = TemplateEngine(plan), plan.step("here")
    assert len(engine.items(here, scope(tags=["a"] * MAX_ITEMS))) == MAX_ITEMS
    with pytest.raises(FlowError, match="at most 10000 items, not 10001") as caught:
        engine.items(here, scope(tags=["a"] * (MAX_ITEMS + 1)))
    assert caught.value.record.reason is Reason.TEMPLATE_LIMIT


def test_outputs_fit_the_result_type_or_say_where_they_do_not() -> None:
    result = ObjectType((FieldType("n", SCALARS[Kind.NUMBER], required=True), FieldType("t", SCALARS[Kind.STRING])))

    def of(**outputs: Any) -> Any:
        return TemplateEngine(flow(step("ocr"), outputs=outputs, result=result)).result(scope())

    assert of(n="{{ inputs.count }}", t="{{ none }}") == {"n": 0.0}
    with pytest.raises(FlowError, match="`outputs`: n: 'hello' is no number") as caught:
        of(n="{{ inputs.text }}")
    assert caught.value.record.reason is Reason.OUTPUT_INVALID
    with pytest.raises(FlowError, match="`outputs`: n: value is required"):
        of(n=None)


def test_without_outputs_the_result_has_the_steps_that_ran() -> None:
    plan = flow(step("ocr"), step("gone"), step("each"))
    assert TemplateEngine(plan).result(scope()) == STEPS


def test_a_plan_whose_template_does_not_parse_is_refused_when_it_is_compiled() -> None:
    broken = FlowPlan("f", 1, "p", "S", INPUTS, (step("a", {"x": 1}, config={"v": "{{ oops"}, needs=("-",)),), INPUTS)
    with pytest.raises(FlowError, match=r"step `a`, `config\.v`") as caught:
        TemplateEngine(broken)
    assert caught.value.record.reason is Reason.TEMPLATE_FAILED


@pytest.mark.parametrize(
    ("value", "is_light"),
    [
        ("{{ inputs.text }}", True),
        ("{{ inputs.tags | map('upper') }}", True),
        ("{{ 2 * 3 }}", False),
        ("{% for tag in inputs.tags %}{% endfor %}", False),
    ],
)
def test_templates_that_can_take_long_are_known(value: str, is_light: bool) -> None:
    assert TemplateEngine(flow(step("here", value))).is_light is is_light
