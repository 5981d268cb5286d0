"""Flow files that were made to hurt: each is answered in bounded time, by diagnostics and nothing else."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from promptflow_codegen.generate import generate
from promptflow_codegen.project import Project
from promptflow_core.executor import Catalog

MANY = 15_000
BOUND_S = 8

STEP = "steps:\n  - {name: x, executor: transform, config: {value: a}}\n"


def word(number: int) -> str:
    """A name for each number."""
    return "".join("abcdefghij"[int(digit)] for digit in str(number)) + "x"


def flow_of_inputs(inputs: Iterable[str]) -> str:
    return "name: a\ninputs:\n" + "".join(f"  - {{{one}}}\n" for one in inputs) + STEP


def flow_of_steps(steps: Iterable[str]) -> str:
    return "name: a\nsteps:\n" + "".join(f"  - {{{one}, executor: transform, config: {{value: a}}}}\n" for one in steps)


def listed(words: Iterable[str]) -> str:
    return f"[{', '.join(words)}]"


def fields(count: int) -> str:
    return listed(f"{{name: {word(index)}}}" for index in range(count))


TEMPLATES = listed(f'"{{{{ inputs.a{index} }}}}"' for index in range(2 * MANY))
DIGITS = "9" * 4000

CASES: Mapping[str, tuple[str, str]] = {
    "unknown keys": ("name: a\n" + "".join(f"unknown{i}: 1\n" for i in range(4 * MANY)) + STEP, "unknown-key"),
    "inputs": (flow_of_inputs(f"name: {word(i)}" for i in range(MANY)), "too-many"),
    "inputs of no type": (flow_of_inputs(f"name: {word(i)}, type: strng" for i in range(MANY)), "bad-type"),
    "steps": (flow_of_steps(f"name: {word(i)}" for i in range(MANY)), "too-many"),
    "templates": ("name: a\n" + STEP.replace("value: a", f"value: {TEMPLATES}"), "unknown-input"),
    "enum values": (flow_of_inputs([f"name: e, type: enum, values: {listed(map(word, range(MANY)))}"]), "bad-type"),
    "values": (flow_of_inputs([f"name: e, values: {listed(map(word, range(MANY)))}"]), "bad-constraint"),
    "fields": (flow_of_inputs([f"name: e, type: object, fields: {fields(MANY)}"]), "bad-type"),
    "fields in fields": (
        flow_of_inputs(f"name: {word(i)}, type: object, fields: {fields(60)}" for i in range(100)),
        "too-many",
    ),
    "outputs": ("name: a\n" + STEP + "outputs:\n" + "".join(f"  {word(i)}: x\n" for i in range(MANY)), "too-many"),
    "patterns": (flow_of_inputs(f"name: {word(i)}, pattern: x" for i in range(400)), "too-many"),
    "a pattern of parentheses": (flow_of_inputs([f'name: x, pattern: "{"(" * 5000}{")" * 5000}"']), "bad-type"),
    "a pattern of repetitions": (flow_of_inputs([f'name: x, pattern: "a{{{DIGITS}}}"']), "bad-type"),
    "a pattern that backtracks": (
        flow_of_inputs([f'name: x, pattern: "^(a+)+$", default: {"a" * 60}b']),
        "bad-default",
    ),
    "a long name": (f"name: {'a' * 500_000}\n" + STEP, "bad-name"),
    "a version of 4000 digits": (f"name: a\nversion: {DIGITS}\n" + STEP, "bad-value"),
    "a bound of 4000 digits": (flow_of_inputs([f"name: x, type: number, min: {DIGITS}"]), "bad-constraint"),
    "a length of 4000 digits": (flow_of_inputs([f"name: x, max_length: {DIGITS}"]), "bad-constraint"),
    "a default of 4000 digits": (flow_of_inputs([f"name: x, type: number, default: {DIGITS}"]), "bad-default"),
}


def codes(text: str, root: Path, catalog: Catalog) -> set[str]:
    (root / "flows").mkdir()
    (root / "flows" / "x.yaml").write_text(text)
    started = time.monotonic()
    generated = generate(Project.at(root), catalog)
    assert time.monotonic() - started < BOUND_S
    return {found.code for found in generated.diagnostics}


@pytest.mark.parametrize("name", CASES)
def test_a_hostile_flow_is_refused_in_bounded_time(name: str, tmp_path: Path, catalog: Catalog) -> None:
    text, code = CASES[name]
    assert code in codes(text, tmp_path, catalog)


def test_the_most_steps_that_a_flow_may_have_may_all_wait_for_each_other(tmp_path: Path, catalog: Catalog) -> None:
    def needs(index: int) -> str:
        return listed(map(word, range(index + 1, min(index + 100, 500))))

    steps = (f"name: {word(index)}, needs: {needs(index)}" for index in range(500))
    assert codes(flow_of_steps(steps), tmp_path, catalog) == set()


@pytest.mark.parametrize("version", ["0", "-1", "10000"])
def test_a_version_out_of_bounds_is_told_with_one_within(version: str, tmp_path: Path, catalog: Catalog) -> None:
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "a.yaml").write_text(f"name: a\nversion: {version}\n" + STEP)
    (found,) = generate(Project.at(tmp_path), catalog).diagnostics
    assert (found.code, found.message) == ("bad-value", f"`version` is {version}; it goes from 1 to 9999")
    assert found.hint == "write `version: 1`, or another one within"
