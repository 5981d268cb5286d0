"""The verdict on what became of a flow, in the words of its file; edits that locks refuse are in `tests/e2e/edits`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from tests.unit.codegen.pipeline import check
from tests.unit.codegen.root import ROOT

from promptflow_codegen.bundle import Bundle
from promptflow_codegen.diagnostics import Report
from promptflow_codegen.evolution import Asks, Change, Verdict, compare_bundles
from promptflow_codegen.evolution.change import asked_for, worst
from promptflow_codegen.evolution.places import place_of
from promptflow_codegen.generate import generate
from promptflow_codegen.lower import lower_flow
from promptflow_codegen.presence import Presence, presence_of
from promptflow_codegen.project import Project
from promptflow_codegen.removal import CODE as REMOVED
from promptflow_codegen.source import parse_source
from promptflow_codegen.write import write
from promptflow_core.executor import Catalog

FLOW = """\
name: mail
description: Reads.
inputs:
  - {name: text, type: string, required: true}
  - {name: mood, type: enum, values: [good, bad]}
  - name: person
    type: object
    fields:
      - {name: age, type: integer, default: 1}
steps:
  - {name: head, executor: transform, config: {value: "{{ inputs.text }}"}}
outputs:
  text: "{{ steps.head.value }}"
"""


def bundle_of(root: Path, catalog: Catalog, files: Mapping[str, str]) -> Bundle:
    for path in (root / "flows").glob("*"):
        path.unlink()
    (root / "flows").mkdir(exist_ok=True)
    for name, text in files.items():
        (root / "flows" / name).write_text(text)
    generated = generate(Project.at(root), catalog, tolerated=(REMOVED,))
    assert generated.bundle is not None, generated.diagnostics
    write(Project.at(root), generated)
    return generated.bundle


def said(changes: tuple[Change, ...]) -> list[str]:
    return [f"{change.kind} ({change.asks}): {change.path}: {change.message}" for change in changes]


EDITS: dict[str, tuple[str, str, list[str]]] = {
    "nothing but comments and space": ("name: mail", "# a comment\nname:   mail", []),
    "an input more": (
        "  - {name: mood,",
        "  - {name: more, type: map<json>}\n  - {name: mood,",
        ["compatible (minor): inputs.more: is new, of type `map<json>`"],
    ),
    "an input less": (
        "  - {name: mood, type: enum, values: [good, bad]}\n",
        "",
        ["changes behaviour (minor): inputs.mood: is gone: requests that have it stay valid, nothing reads it"],
    ),
    "another default inside an object": (
        "default: 1",
        "default: 2",
        ["changes behaviour (minor): inputs.person.age: has the default `2`; it was `1`"],
    ),
    "an enum value more": (
        "[good, bad]",
        "[good, fair, bad]",
        ["compatible (minor): inputs.mood: may be `fair` too"],
    ),
    "another template": (
        '"{{ inputs.text }}"',
        '"{{ inputs.text | upper }}"',
        [
            "changes behaviour (minor): steps.head.config.value: "
            "it was `{{ inputs.text }}` and is now `{{ inputs.text | upper }}`"
        ],
    ),
    "another executor": (
        'transform, config: {value: "{{ inputs.text }}"}',
        'combine, config: {fields: [{name: value, type: string, value: "{{ inputs.text }}"}]}',
        [
            "changes behaviour (minor): steps.head: its output, which watchers see, has another shape",
            "changes behaviour (minor): steps.head.config.fields: it was nothing and is now "
            "`{'name': 'value', 'type': 'string', 'value': '{{ inputs.tex…`",
            "changes behaviour (minor): steps.head.config.value: it was `{{ inputs.text }}` and is now nothing",
            "changes behaviour (minor): steps.head.executor: it was `transform` and is now `combine`",
        ],
    ),
    "times of a step": (
        "{name: head, executor: transform,",
        "{name: head, executor: transform, timeout: 3s, retry: {max_attempts: 2},",
        [
            "changes behaviour (minor): steps.head.retry: is tried again otherwise than before",
            "changes behaviour (minor): steps.head.timeout: it was nothing and is now `3s`",
        ],
    ),
    "times": (
        "name: mail",
        "name: mail\ntimeout: 90s",
        ["changes behaviour (minor): timeout: it was nothing and is now `90s`"],
    ),
    "words": (
        "Reads.",
        "Writes.",
        ["compatible (patch): description: has another description"],
    ),
}


@pytest.mark.parametrize("name", EDITS)
def test_what_changed_is_said_in_the_words_of_the_file(name: str, catalog: Catalog, tmp_path: Path) -> None:
    old, new, expected = EDITS[name]
    assert FLOW.count(old) == 1
    before = bundle_of(tmp_path, catalog, {"mail.yaml": FLOW})
    after = bundle_of(tmp_path, catalog, {"mail.yaml": FLOW.replace(old, new)})
    assert said(compare_bundles(before, after)) == expected


def test_flows_come_go_and_move(catalog: Catalog, tmp_path: Path) -> None:
    before = bundle_of(tmp_path, catalog, {"a.yaml": FLOW, "b.yaml": FLOW.replace("mail", "post")})
    after = bundle_of(
        tmp_path, catalog, {"c.yaml": FLOW, "d.yaml": FLOW.replace("name: mail", "name: mail\nversion: 2")}
    )
    changes = compare_bundles(before, after)
    assert [(change.flow, change.version, str(change.kind), change.message) for change in changes] == [
        ("mail", 1, "compatible", "moved from flows/a.yaml to flows/c.yaml"),
        ("mail", 2, "compatible", "flow `mail` v2 is new, beside v1"),
        ("post", 1, "breaks the wire", "flow `post` v1 is gone: calls of it fail"),
    ]
    assert (worst(changes), asked_for(changes)) == (Verdict.WIRE, Asks.MAJOR)
    assert (worst(()), asked_for(())) == (Verdict.COMPATIBLE, None)


def test_another_package_is_another_service(catalog: Catalog, tmp_path: Path) -> None:
    before = bundle_of(tmp_path, catalog, {"mail.yaml": FLOW})
    (tmp_path / "promptflow.yaml").write_text("package: acme.flows\n")
    after = bundle_of(tmp_path, catalog, {"mail.yaml": FLOW})
    assert said(compare_bundles(before, after)) == [
        "breaks the wire (major): : its service was `promptflow_api.flows.mail.v1.MailService` "
        "and is now `acme.flows.mail.v1.MailService`"
    ]


TAMPERED: dict[str, tuple[str, str]] = {
    "text.number": ("breaks the wire", "inputs.text: moved from number 1 to 9"),
    "text.name": ("breaks JSON", "inputs.text: number 1 was `text` and is now `other`"),
    "mood.good.number": ("breaks the wire", "inputs.mood: its value `good` moved from number 1 to 9"),
    "mood.good.name": ("breaks JSON", "inputs.mood: its value `good` is now called `other`"),
}
"""What no lock lets happen; a bundle that somebody else made may have it."""


@pytest.mark.parametrize("name", TAMPERED)
def test_numbers_and_names_that_moved_are_seen(name: str, catalog: Catalog, tmp_path: Path) -> None:
    before = bundle_of(tmp_path, catalog, {"mail.yaml": FLOW})
    files = FileDescriptorSet.FromString(before.descriptors)
    (file,) = (file for file in files.file if file.name.endswith("mail.proto"))
    (request,) = (message for message in file.message_type if message.name == "ExecuteRequest")
    what, *value, attribute = name.split(".")
    (field,) = (field for field in request.field if field.name == what)
    (mood,) = (message for message in request.nested_type if message.name == "Mood")
    target = mood.enum_type[0].value[1] if value else field
    setattr(target, attribute, 9 if attribute == "number" else "other")
    after = Bundle.of(files.SerializeToString(), before.plans)
    kind, message = TAMPERED[name]
    changes = compare_bundles(before, after)
    assert (str(changes[0].kind), f"{changes[0].path}: {changes[0].message}") == (kind, message)


PRESENCE = {
    '"{{ steps.head.value }}"': Presence.ALWAYS,
    '"{{ inputs.text }}"': Presence.ALWAYS,
    '"{{ inputs.mood }}"': Presence.SOMETIMES,
    '"{{ inputs.person.age }}"': Presence.UNKNOWN,
    '"{{ system.flow }}"': Presence.ALWAYS,
    '"It is {{ inputs.text }}"': Presence.ALWAYS,
    "plain": Presence.ALWAYS,
    "3": Presence.ALWAYS,
    '{type: string, value: "{{ inputs.text | upper }}"}': Presence.UNKNOWN,
    '{type: string, value: "{{ steps.head.value | default(none) }}"}': Presence.SOMETIMES,
    "{type: string, value: \"{{ inputs.text if inputs.text == 'a' else none }}\"}": Presence.SOMETIMES,
    '{type: "string[]", value: ["{{ inputs.mood | default(inputs.text) }}"]}': Presence.UNKNOWN,
}


@pytest.mark.parametrize("value", PRESENCE)
def test_what_every_run_has_is_told_by_the_template(value: str, catalog: Catalog) -> None:
    flow = check(FLOW.replace('"{{ steps.head.value }}"', value), catalog)
    assert presence_of(lower_flow(flow)) == {"text": PRESENCE[value]}


def test_steps_that_may_be_skipped_may_lack_in_the_result(catalog: Catalog) -> None:
    steps = """
  - {name: maybe, executor: transform, condition: "{{ true }}", config: {value: a}}
  - {name: each, executor: transform, for_each: "{{ [1] }}", config: {value: a}}
"""
    flow = check(FLOW.split("outputs:", maxsplit=1)[0] + steps.lstrip("\n"), catalog)
    assert presence_of(lower_flow(flow)) == {
        "head": Presence.ALWAYS,
        "maybe": Presence.SOMETIMES,
        "each": Presence.UNKNOWN,
    }


PLACES = {
    "": (1, 7),
    "inputs.text": (4, 12),
    "inputs.person.age": (9, 16),
    "inputs.gone": (3, 1),
    "steps.head": (11, 12),
    "steps.head.config.value": (11, 48),
    "steps.head.timeout": (11, 12),
    "outputs.text": (13, 3),
    "description": (2, 1),
    "nowhere.at.all": (1, 7),
}


@pytest.mark.parametrize("path", PLACES)
def test_a_name_is_found_in_the_file(path: str) -> None:
    root = parse_source(FLOW.encode(), Report("x"))
    assert root is not None
    position = place_of(root, path)
    assert (position.line, position.column) == PLACES[path]


def test_a_flow_goes_only_where_its_removal_is_confirmed_and_its_numbers_stay(catalog: Catalog, tmp_path: Path) -> None:
    bundle_of(tmp_path, catalog, {"a.yaml": FLOW, "b.yaml": FLOW.replace("mail", "post")})
    (tmp_path / "flows" / "a.yaml").unlink()
    generated = generate(Project.at(tmp_path), catalog)
    (found,) = generated.diagnostics
    proto = Path("proto/promptflow_api/flows/mail/v1/mail.proto")
    assert (found.code, found.file, found.is_error) == ("removed-flow", proto.as_posix(), True)
    assert "no file declares flow `mail` v1 any more" in found.message
    assert "`removed: [mail@1]`" in found.hint
    assert generated.files == {}
    (tmp_path / "promptflow.yaml").write_text("removed: [mail@2, mail@1]\n")
    confirmed = generate(Project.at(tmp_path), catalog)
    assert confirmed.diagnostics == ()
    write(Project.at(tmp_path), confirmed)
    assert generate(Project.at(tmp_path), catalog).diagnostics == ()
    assert not (tmp_path / proto).exists()
    assert (tmp_path / proto).with_suffix(".lock.yaml").exists()


def test_the_tree_beside_itself_is_the_same(catalog: Catalog) -> None:
    bundle = generate(Project.at(ROOT), catalog).bundle
    assert bundle is not None
    assert compare_bundles(bundle, bundle) == ()


def test_another_model_of_an_executor_changes_what_is_answered(catalog: Catalog, tmp_path: Path) -> None:
    flow = FLOW.replace("executor: transform, config: {value:", "executor: sentiment_analyzer, config: {text:")
    flow = flow.replace("steps.head.value", "steps.head.label")
    before = bundle_of(tmp_path, catalog, {"mail.yaml": flow})
    spec = catalog["sentiment_analyzer"]
    assert [model.partition("@")[0] for model in spec.models] == ["sentiment-minilm"]
    newer = {**catalog, spec.name: replace(spec, models=("sentiment-minilm@9.0.0",))}
    after = bundle_of(tmp_path, newer, {"mail.yaml": flow})
    assert said(compare_bundles(before, after)) == [
        f"changes behaviour (minor): steps.head: its model was `{spec.models[0]}` and is now `sentiment-minilm@9.0.0`"
    ]


READ = {
    "{{ inputs.n }}": "breaks the wire",
    "{{ inputs.n if inputs.text == 'a' else 1 }}": "breaks the wire",
    "{{ inputs.n | default(1) }}": "changes behaviour",
    "{{ inputs.n if inputs.n is defined else 1 }}": "changes behaviour",
    "{{ inputs.text | length }}": "changes behaviour",
}
"""How an input is read, and what it means that its default goes."""


@pytest.mark.parametrize("read", READ)
def test_a_default_that_goes_breaks_those_who_never_sent_the_input(read: str, catalog: Catalog, tmp_path: Path) -> None:
    text = (
        "name: a\ninputs: [{name: text, required: true}, {name: n, type: integer, default: 1}]\nsteps:\n"
        f'  - {{name: x, executor: combine, config: {{fields: [{{name: n, type: integer, value: "{read}"}}]}}}}\n'
        'outputs: {n: "{{ steps.x.n }}"}\n'
    )
    before = bundle_of(tmp_path, catalog, {"a.yaml": text})
    for path in (tmp_path / "proto").rglob("*.lock.yaml"):
        path.unlink()
    for path in (tmp_path / "proto").rglob("a.proto"):
        path.unlink()
    after = bundle_of(tmp_path, catalog, {"a.yaml": text.replace(", default: 1", "")})
    (change,) = compare_bundles(before, after)
    assert (str(change.kind), change.path) == (READ[read], "inputs.n")
    assert change.message.startswith("has no default any more")
