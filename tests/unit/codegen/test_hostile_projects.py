"""Folders that were made to hurt: each is refused by one diagnostic in bounded time, and is left as it was."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from promptflow_codegen.generate import generate
from promptflow_codegen.project import Project
from promptflow_codegen.write import write
from promptflow_core.executor import Catalog

BOUND_S = 5

FLOW = """name: a
inputs:
  - {name: text, type: string, required: true}
  - {name: mood, type: enum, values: [good, bad]}
steps:
  - {name: x, executor: transform, config: {value: "{{ inputs.text }}"}}
outputs: {said: "{{ steps.x.value }}"}
"""
LOCK = Path("proto/promptflow_api/flows/a/v1/a.lock.yaml")


@dataclass(frozen=True, slots=True)
class Case:
    """What is done to a project whose flow `a` was generated, and the codes of the errors that follow."""

    harm: Callable[[Path], object]
    codes: tuple[str, ...]


def file(data: bytes | str, name: str = "flows/b.yaml") -> Callable[[Path], object]:
    return lambda root: (root / name).write_bytes(data if isinstance(data, bytes) else data.encode())


def lock(pattern: str, replacement: str) -> Callable[[Path], object]:
    """A lock edited by hand; an edit that changes nothing would test nothing."""

    def edit(root: Path) -> None:
        text, count = re.subn(pattern, replacement, (root / LOCK).read_text("utf-8"), count=1, flags=re.MULTILINE)
        assert count == 1
        (root / LOCK).write_text(text, "utf-8")

    return edit


def named(name: str, field: str = "text") -> str:
    return (
        FLOW.replace("name: a\n", f"name: {name}\n")
        .replace("{name: text,", f"{{name: {field},")
        .replace("inputs.text", f"inputs.{field}")
    )


def fields(count: int) -> str:
    letters = ("".join("abcdefghij"[int(digit)] for digit in str(index)) + "x" for index in range(count))
    return "".join(f"  - {{name: {name}}}\n" for name in letters)


def word(index: int) -> str:
    return "s_" + "".join("abcdefghij"[int(digit)] for digit in str(index))


def guarded(steps: int, conjuncts: int, reads: int) -> str:
    """Steps under long conditions that read each other under others; the first one is a mistake."""
    lines = ["name: b\ninputs:\n  - {name: text, required: true}\nsteps:\n  - {name: x, executor: none, config: {}}"]
    for index in range(steps):
        others = [f"steps.{word(index - 1)} is defined"] if index else []
        condition = " and ".join([*(f"inputs.text != '{index} {one}'" for one in range(conjuncts)), *others])
        value = "".join(
            f"{{{{ steps.{word((index - 1 - read) % index)}.value if inputs.text != '{index} {read}' else '' }}}}"
            for read in range(reads if index else 0)
        )
        step = f'name: {word(index)}, executor: transform, condition: "{{{{ {condition} }}}}"'
        lines.append(f'  - {{{step}, config: {{value: "{value}"}}}}')
    return "\n".join(lines) + "\n"


def misspelt(reads: int) -> str:
    return named("b").replace('"{{ inputs.text }}"', '"' + "{{ inputs.txt }}" * reads + '"')


FILES: Mapping[str, Case] = {
    "ten megabytes": Case(file(b"a: b\n" * 2_000_000), ("too-large",)),
    "one line of a megabyte": Case(file(b"name: " + b"a" * 1_000_000), ("bad-name", "missing-key")),
    "nesting 100 deep": Case(file("name: " + "[" * 100 + "]" * 100), ("too-deep",)),
    "nesting 100,000 deep": Case(file("name: " + "[" * 100_000 + "]" * 100_000), ("too-deep",)),
    "aliases that explode": Case(file("a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\n"), ("anchor",)),
    "NUL bytes": Case(file(FLOW.encode() + b"\0"), ("syntax",)),
    "UTF-16": Case(file(FLOW.encode("utf-16")), ("not-utf8",)),
    "Latin-1": Case(file("name: caf\xe9".encode("latin-1")), ("not-utf8",)),
    "nothing": Case(file(b""), ("empty-file",)),
    "tabs": Case(file("name: b\nsteps:\n\t- {name: x}\n"), ("tab",)),
    "a key twice": Case(file(named("b") + "outputs: {}\n"), ("duplicate-key",)),
    "10,000 mistakes": Case(file("name: b\nsteps:\n" + "  - {nam: x}\n" * 10_000), ("missing-key", "unknown-key")),
    "5,000 inputs": Case(
        file(f"name: b\ninputs:\n{fields(5_000)}steps:\n  - {{name: x, executor: transform, config: {{value: a}}}}\n"),
        ("too-many",),
    ),
    "5,000 fields of an object": Case(
        file(
            "name: b\ninputs:\n- name: o\n  type: object\n  fields:\n"
            + fields(5_000)
            + "steps:\n  - {name: x, executor: transform, config: {value: a}}\n"
        ),
        ("bad-type",),
    ),
    "a hundred conditions of ten parts around twenty reads each": Case(
        file(guarded(100, 10, 20)), ("unknown-executor", "too-many")
    ),
    "a template of 4,000 mistakes": Case(file(misspelt(4_000)), ("unknown-input", "too-many")),
    "two flows of one name": Case(file(FLOW), ("duplicate-flow",)),
    "inputs that JSON cannot tell apart": Case(
        file(named("b").replace("name: mood", "name: t_e_xt")), ("name-collision",)
    ),
    "a folder called x.yaml": Case(lambda root: (root / "flows" / "x.yaml").mkdir(), ("unreadable-file",)),
    "a link to itself": Case(lambda root: (root / "flows" / "x.yaml").symlink_to("x.yaml"), ("unreadable-file",)),
    "a link to nothing": Case(lambda root: (root / "flows" / "x.yaml").symlink_to("absent"), ("unreadable-file",)),
    "a pipe that nobody writes into": Case(lambda root: os.mkfifo(root / "flows" / "x.yaml"), ("unreadable-file",)),
    "a device that never ends": Case(
        lambda root: (root / "flows" / "x.yaml").symlink_to("/dev/zero"), ("unreadable-file",)
    ),
}

LOCKS: Mapping[str, Case] = {
    "a number that was moved": Case(lock("text: {number: 1", "text: {number: 7"), ("damaged-lock",)),
    "a number twice": Case(lock("mood: {number: 2", "mood: {number: 1"), ("damaged-lock",)),
    "numbers that were exchanged": Case(
        lock(r"text: \{number: 1,(.*)\n(\s+)mood: \{number: 2", r"text: {number: 2,\1\n\2mood: {number: 1"),
        ("damaged-lock",),
    ),
    "a field that was removed": Case(lock(r"^\s+mood: \{number.*\n", ""), ("damaged-lock",)),
    "an enum value that was renamed": Case(lock("good: 1", "fine: 1"), ("damaged-lock",)),
    "a type that was changed": Case(lock('type: "optional string"', 'type: "optional bytes"'), ("damaged-lock",)),
    "a huge number": Case(lock("text: {number: 1", "text: {number: 536870912"), ("damaged-lock",)),
    "a number of 5,000 digits": Case(lock("number: 1,", f"number: {'9' * 5_000},"), ("damaged-lock",)),
    "a number below 1": Case(lock("text: {number: 1", "text: {number: 0"), ("damaged-lock",)),
    "a number as a text": Case(lock("text: {number: 1", 'text: {number: "1"'), ("damaged-lock",)),
    "another flow": Case(lock("^flow: a", "flow: b"), ("damaged-lock",)),
    "another version": Case(lock("^version: 1", "version: 2"), ("damaged-lock",)),
    "a newer format": Case(lock("^format: 1", "format: 99"), ("damaged-lock",)),
    "another digest": Case(lock("^digest: .*", "digest: 0"), ("damaged-lock",)),
    "no digest": Case(lock("^digest: .*", ""), ("damaged-lock",)),
    "an unknown key": Case(lock("^version: 1", "version: 1\nmore: 1"), ("damaged-lock",)),
    "half a merge conflict": Case(lock("^version: 1", "<<<<<<< ours\nversion: 1"), ("damaged-lock",)),
    "nothing in it": Case(file(b"", str(LOCK)), ("damaged-lock",)),
    "a list": Case(file(b"- 1\n", str(LOCK)), ("damaged-lock",)),
    "a lock that is gone": Case(lambda root: (root / LOCK).unlink(), ("damaged-lock",)),
    "a megabyte of a lock": Case(file(b"a: b\n" * 200_000, str(LOCK)), ("damaged-lock",)),
}

CASES = {**FILES, **{f"a lock with {name}": case for name, case in LOCKS.items()}}

# Each of these is a word of Python, Go, TypeScript, JavaScript or proto, which the language may take or refuse.
_WORDS = (
    "abstract any as async await bool break bytes case catch chan class const continue debugger declare def default "
    "defer del delete do double elif else enum except export extends extension false fallthrough final finally "
    "fixed32 float for from func function global go goto group if implements import in instanceof int int32 int64 "
    "interface is lambda let map max message module namespace new nil none nonlocal not null number object of oneof "
    "option optional or package pass private protected public raise range repeated required reserved return returns "
    "rpc select self service sint64 static stream string struct super switch symbol syntax this throw to true try "
    "type typeof uint64 undefined var void while with yield "
)
WORDS = _WORDS.split()


def tree(root: Path) -> Mapping[str, tuple[int, int]]:
    """Every file with its size and the time of its last change."""
    found = ((path, path.lstat()) for path in sorted(root.rglob("*")))
    return {str(path): (stat.st_size, stat.st_mtime_ns) for path, stat in found}


@pytest.fixture
def project(tmp_path: Path, catalog: Catalog) -> Project:
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "a.yaml").write_text(FLOW, "utf-8")
    project = Project.at(tmp_path)
    write(project, generate(project, catalog))
    return project


@pytest.mark.parametrize("name", CASES)
def test_it_is_refused_in_bounded_time_and_nothing_on_disk_changes(
    name: str, project: Project, catalog: Catalog
) -> None:
    case = CASES[name]
    case.harm(project.root)
    before = tree(project.root)
    started = time.process_time()
    generated = generate(project, catalog)
    assert time.process_time() - started < BOUND_S
    assert (generated.has_errors, generated.files) == (True, {})
    assert {found.code for found in generated.diagnostics if found.is_error} - {"too-many"} == set(case.codes) - {
        "too-many"
    }
    assert len(generated.diagnostics) <= 51
    with pytest.raises(ValueError, match="nothing was generated"):
        write(project, generated)
    assert tree(project.root) == before


SINGLE = sorted(name for name, case in CASES.items() if len(case.codes) == 1)


@pytest.mark.parametrize("name", SINGLE)
def test_one_harm_is_one_diagnostic(name: str, project: Project, catalog: Catalog) -> None:
    CASES[name].harm(project.root)
    assert [found.code for found in generate(project, catalog).diagnostics] == list(CASES[name].codes)


HARMLESS: Mapping[str, bytes] = {
    "a byte order mark": b"\xef\xbb\xbf" + named("b").encode(),
    "line ends of Windows": named("b").replace("\n", "\r\n").encode(),
    "line ends of old Macs": named("b").replace("\n", "\r").encode(),
    "letters of every script": named("b").replace("steps:", "description: Größe 長さ 😀 مرحبا\nsteps:").encode(),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_it_is_taken_for_what_it_is(name: str, project: Project, catalog: Catalog) -> None:
    (project.root / "flows" / "b.yaml").write_bytes(HARMLESS[name])
    generated = generate(project, catalog)
    assert generated.diagnostics == ()


def test_words_of_the_languages_are_names_or_are_refused_and_never_break_what_is_generated(
    tmp_path: Path, catalog: Catalog
) -> None:
    (tmp_path / "flows").mkdir()
    (tmp_path / "clients" / "python").mkdir(parents=True)
    inputs = "".join(f'  - {{name: "{word}"}}\n' for word in WORDS)
    outputs = "".join(f'  "{word}": "{{{{ inputs.{word} }}}}"\n' for word in WORDS)
    steps = "".join(f'  - {{name: "{word}", executor: transform, config: {{value: a}}}}\n' for word in WORDS[:200])
    text = f"name: words\ninputs:\n{inputs}steps:\n{steps}outputs:\n{outputs}"
    (tmp_path / "flows" / "words.yaml").write_text(text, "utf-8")
    project = Project.at(tmp_path)
    generated = generate(project, catalog)
    assert [str(found) for found in generated.diagnostics] == []
    modules = {path: data for path, data in generated.files.items() if path.suffix == ".py"}
    for path, data in modules.items():
        compile(data, str(path), "exec")
    assert len(modules) > 3


def test_flows_may_be_called_by_every_word_that_can_be_a_package(tmp_path: Path, catalog: Catalog) -> None:
    (tmp_path / "flows").mkdir()
    for word in WORDS:
        (tmp_path / "flows" / f"{word}.yaml").write_text(named(f'"{word}"'), "utf-8")
    project = Project.at(tmp_path)
    refused = generate(project, catalog).diagnostics
    assert {found.code for found in refused} == {"reserved-name"}
    for found in refused:
        (tmp_path / found.file).unlink()
    generated = generate(project, catalog)
    assert (generated.diagnostics, generated.has_errors) == ((), False)
    assert len(refused) < len(WORDS) / 2
