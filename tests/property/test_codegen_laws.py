"""Laws of the generator: what passes the check is good proto that carries its messages; what the check says is so."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from jinja2 import TemplateError
from jinja2.exceptions import SecurityError
from jinja2.runtime import Undefined
from tests.unit.codegen.pipeline import check, flow_text, message_class, number
from tests.unit.codegen.root import ROOT
from tests.unit.codegen.test_buf import image, run_buf
from tests.unit.codegen.test_generated_flows import flows

from promptflow_codegen.check.expressions import ExpressionTypes
from promptflow_codegen.check.scope import Scope
from promptflow_codegen.check.templates import sole_expression
from promptflow_codegen.compile import compile_descriptors
from promptflow_codegen.emit.proto import emit_proto
from promptflow_codegen.project import Project
from promptflow_codegen.template_syntax import parse_template, template_environment
from promptflow_core.coercion import coerce
from promptflow_core.executor import Catalog
from promptflow_core.registry import ExecutorRegistry
from promptflow_core.type_syntax import parse_fields
from promptflow_core.types import ObjectType

PER_EXAMPLE = 8
"""Flows that buf looks at together: starting it takes longer than reading one of them."""


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return ExecutorRegistry.load().catalog()


@pytest.fixture(scope="module")
def contract() -> dict[str, str]:
    return dict(Project.at(ROOT).contract_protos())


@given(drawn=st.lists(flows(), min_size=PER_EXAMPLE, max_size=PER_EXAMPLE), seed=st.integers(0, 2**32))
@settings(
    max_examples=6,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)
def test_what_passes_the_check_is_good_proto_and_carries_its_messages(
    drawn: list[dict[str, Any]],
    seed: int,
    catalog: Catalog,
    contract: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    protos: dict[str, str] = {}
    for index, flow in enumerate(drawn):
        named = {**flow, "name": f"flow_{'abcdefgh'[index]}"}
        file, _ = number(check(flow_text(named), catalog))
        protos[file.path] = emit_proto(file)
    files = compile_descriptors({**contract, **protos})
    path: Path = tmp_path_factory.mktemp("image") / "image.binpb"
    path.write_bytes(image(files, protos))
    assert run_buf("lint", str(path), "--config", "buf.yaml") == (0, "")
    assert_messages_survive(files, set(protos), random.Random(seed))


def assert_messages_survive(files: FileDescriptorSet, own: set[str], rng: random.Random) -> None:
    """Requests and results of every flow come back as they were, from the wire and from JSON."""
    for file in files.file:
        for name in ("ExecuteRequest", "Result") if file.name in own else ():
            kind = message_class(files, f"{file.package}.{name}")
            message = kind()
            fill(message, rng, depth=0)
            assert kind.FromString(message.SerializeToString()) == message
            assert json_format.Parse(json_format.MessageToJson(message), kind()) == message


TEXTS = ("", "a", "Größe", "長さ 😀", '"\\', "x" * 300)
INTEGERS = (0, 1, -1, 2**31 - 1, -(2**31), 7)


def fill(message: Any, rng: random.Random, depth: int) -> None:
    """Give fields values; what is well known has rules of its own and stays as it is made."""
    for field in message.DESCRIPTOR.fields:
        if rng.random() < 0.3 or depth > 4:
            continue
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            fill_map(getattr(message, field.name), field, rng, depth)
        elif field.is_repeated:
            for _ in range(rng.randrange(3)):
                add(getattr(message, field.name), field, rng, depth)
        elif field.message_type is not None:
            fill_message(getattr(message, field.name), rng, depth)
        else:
            setattr(message, field.name, value(field, rng))


def add(values: Any, field: FieldDescriptor, rng: random.Random, depth: int) -> None:
    if field.message_type is not None:
        fill_message(values.add(), rng, depth)
    else:
        values.append(value(field, rng))


def fill_map(entries: Any, field: FieldDescriptor, rng: random.Random, depth: int) -> None:
    assert field.message_type is not None
    held = field.message_type.fields_by_name["value"]
    for key in TEXTS[: rng.randrange(3)]:
        if held.message_type is not None:
            fill_message(entries[key], rng, depth)
        else:
            entries[key] = value(held, rng)


def fill_message(message: Any, rng: random.Random, depth: int) -> None:
    name = message.DESCRIPTOR.full_name
    if name == "google.protobuf.Value":
        values: tuple[Any, ...] = (None, True, 1.5, "é", [1, {"a": []}])
        json_format.ParseDict(rng.choice(values), message)
    elif name in ("google.protobuf.Timestamp", "google.protobuf.Duration"):
        message.seconds, message.nanos = rng.randrange(0, 10**9), rng.randrange(0, 10**9)
    elif name == "google.protobuf.FieldMask":
        message.paths.append("result")
    else:
        message.SetInParent()
        fill(message, rng, depth + 1)


def value(field: FieldDescriptor, rng: random.Random) -> Any:
    match field.cpp_type:
        case FieldDescriptor.CPPTYPE_STRING:
            return rng.randbytes(5) if field.type == FieldDescriptor.TYPE_BYTES else rng.choice(TEXTS)
        case FieldDescriptor.CPPTYPE_ENUM:
            assert field.enum_type is not None
            return rng.choice([one.number for one in field.enum_type.values])
        case FieldDescriptor.CPPTYPE_BOOL:
            return rng.random() < 0.5
        case FieldDescriptor.CPPTYPE_DOUBLE:
            return rng.choice((0.0, -0.5, 1e300))
        case _:
            return rng.choice(INTEGERS)


DECLARED = [
    {"name": "text"},
    {"name": "mood", "type": "enum", "values": ["good", "bad"]},
    {"name": "count", "type": "integer"},
    {"name": "score", "type": "number"},
    {"name": "flag", "type": "boolean"},
    {"name": "tags", "type": "string[]"},
    {"name": "sizes", "type": "integer[]"},
    {"name": "people", "type": "object[]", "fields": [{"name": "name"}, {"name": "age", "type": "integer"}]},
    {"name": "weights", "type": "map<number>"},
]
INPUTS: Mapping[str, Any] = {
    "text": "One. Two 3.",
    "mood": "good",
    "count": 3,
    "score": 1.5,
    "flag": True,
    "tags": ["b", "a", "a"],
    "sizes": [3, 1],
    "people": [{"name": "Ann", "age": 3}, {"name": "Bo", "age": 4}],
    "weights": {"a": 1.5},
}
LITERALS = ("1", "2.5", "'good'", "'x'", "true", "[1, 2]", "['a']", "[]", "0", "none")
FILTERS = (
    "upper",
    "lower",
    "length",
    "first",
    "last",
    "list",
    "sort",
    "unique",
    "sum",
    "max",
    "min",
    "int",
    "float",
    "round",
    "abs",
    "sentences",
    "reverse",
    "string",
    "trim",
    "join(', ')",
    "map('upper')",
    "map(attribute='name')",
    "map(attribute='age')",
    "default('a')",
    "default(1)",
    "default([])",
    "with_field('size', inputs.sizes)",
    "select",
    "count",
    "wordcount",
    "title",
    "tojson",
)
OPERATORS = ["+", "-", "*", "/", "//", "%", "~", "==", "!=", "<", ">=", "in", "and", "or"]


def expressions() -> st.SearchStrategy[str]:
    """Expressions of every shape over `inputs`, sensible and not."""
    leaves = st.sampled_from(
        [*(f"inputs.{name}" for name in INPUTS), *LITERALS, "inputs.tags[0]", "inputs.people[1].age"]
    )

    def grow(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        return st.one_of(
            st.builds("({} | {})".format, inner, st.sampled_from(FILTERS)),
            st.builds("({} {} {})".format, inner, st.sampled_from(OPERATORS), inner),
            st.builds("({} if {} else {})".format, inner, inner, inner),
            st.builds("(not {})".format, inner),
            st.builds("({}[0])".format, inner),
            st.builds("({}.upper())".format, inner),
            st.builds("({}.name)".format, inner),
            st.builds("[{}, {}]".format, inner, inner),
        )

    return st.recursive(leaves, grow, max_leaves=5)


EXPRESSIONS = 1500
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)
"""Without making what fails smaller, which takes longer than a test may: expressions are small as they are."""
FAILURES = (TemplateError, SecurityError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What operations of a template raise on values that they were not made for; anything else is a defect."""

SCOPE = Scope(ObjectType(parse_fields(DECLARED)), {})


def test_a_type_that_the_check_tells_is_that_of_the_value() -> None:
    """Where the check is silent and tells a type, what comes of the expression is of that type."""
    seen: Counter[str] = Counter()

    @given(text=expressions())
    @settings(max_examples=EXPRESSIONS, deadline=None, suppress_health_check=[HealthCheck.too_slow], phases=PHASES)
    def compare(text: str) -> None:
        seen[compared(text)] += 1

    compare()
    assert seen["compared"] >= EXPRESSIONS // 5, seen
    assert seen["objected"] >= EXPRESSIONS // 50, seen


def compared(text: str) -> str:
    """How the check and the run agree about an expression; raises where they do not."""
    environment = template_environment()
    said: list[str] = []
    expression = sole_expression(parse_template(f"{{{{ {text} }}}}", environment))
    assert expression is not None

    def say(code: str, *_: object) -> None:
        said.append(code)

    told = ExpressionTypes(SCOPE, environment, say).type_of(expression, {})
    try:
        result: Any = environment.compile_expression(text, undefined_to_none=False)(inputs=INPUTS)
        result = drawn(result)
    except FAILURES:
        return "failed"
    if said:
        return "objected"
    if told is None or holds_nothing(result):
        return "untold"
    coerce(result, told, text)
    return "compared"


def drawn(result: Any) -> Any:
    """The result with lists for generators, as a run makes them."""
    is_many = isinstance(result, list) or hasattr(result, "__next__")
    return [drawn(item) for item in result] if is_many else result


def holds_nothing(result: Any) -> bool:
    """Whether it is or has something undefined or null, which the run refuses or takes for absent."""
    match result:
        case list() | tuple():
            return any(map(holds_nothing, result))
        case dict():
            return any(map(holds_nothing, result.values()))
        case _:
            return result is None or isinstance(result, Undefined)
