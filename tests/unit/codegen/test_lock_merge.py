"""Two branches edit a flow, real git merges them, and `generate` finds a lock in which nobody's number moved."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from promptflow_codegen.diagnostics import Report
from promptflow_codegen.generate import Generated, generate
from promptflow_codegen.lock import Lock, LockedEnum, LockedField, LockedMessage
from promptflow_codegen.lock_file import parse_lock, print_lock
from promptflow_codegen.lock_merge import ConflictError, merge_locks, split_conflicts
from promptflow_codegen.project import Project
from promptflow_codegen.write import drift, write
from promptflow_core.executor import Catalog

STYLES = ("merge", "diff3", "zdiff3")
FOLDER = "proto/promptflow_api/flows/mail/v1"
LOCK, PROTO, FLOW = f"{FOLDER}/mail.lock.yaml", f"{FOLDER}/mail.proto", "flows/mail.yaml"


class Repository:
    """A project in a repository of its own; `main` is merged into."""

    def __init__(self, root: Path, catalog: Catalog, style: str) -> None:
        self.root, self._catalog = root, catalog
        (root / "flows").mkdir(parents=True)
        self.project = Project.at(root)
        self.git("init", "--quiet", "--initial-branch=main")
        self.git("config", "merge.conflictStyle", style)
        (root / ".gitignore").write_text(".promptflow\n")

    def git(self, *arguments: str, may_fail: bool = False) -> str:
        environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
        who = ("-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false")
        command = ["git", "-C", str(self.root), *who, *arguments]
        run = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=30)
        assert may_fail or run.returncode == 0, run.stdout + run.stderr
        return run.stdout

    def generate(self) -> Generated:
        generated = generate(self.project, self._catalog)
        assert generated.bundle is not None, [str(found) for found in generated.diagnostics]
        write(self.project, generated)
        return generated

    def commit(self, flow: str) -> Lock:
        """The flow as `flow`, generated and committed."""
        (self.root / FLOW).write_text(flow)
        self.generate()
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "x")
        return self.lock()

    def lock(self) -> Lock:
        report = Report(LOCK)
        lock = parse_lock((self.root / LOCK).read_bytes(), flow="mail", version=1, report=report)
        assert lock is not None, report.diagnostics
        return lock


def flow(
    inputs: Sequence[str] = (), values: str = "good, bad", fields: str = "", steps: Sequence[str] = (), last: str = "x"
) -> str:
    """A flow with these inputs beside `text`, `mood`, `person` and `tail`, and these steps beside `end`."""
    lines = ["name: mail", "inputs:", "  - {name: text, type: string, required: true}"]
    lines += [f"  - {{name: mood, type: enum, values: [{values}]}}"]
    lines += [f"  - {{name: person, type: object, fields: [{{name: name, type: string}}{fields}]}}"]
    lines += [f"  - {{name: {name.replace(':', ', type: ', 1)}}}" for name in inputs]
    lines += ["steps:", *(f"  - {{name: {step}, executor: transform, config: {{value: x}}}}" for step in steps)]
    lines += [f"  - {{name: end, executor: transform, config: {{value: {last}}}}}", "outputs:"]
    return "\n".join([*lines, '  text: "{{ inputs.text }}"']) + "\n"


ONE = ["old:string"]
SHAPES: dict[str, tuple[str, str, str, str, dict[str, int]]] = {
    "both add an input": (
        flow(ONE),
        flow([*ONE, "ours:string"]),
        flow([*ONE, "theirs:integer"]),
        flow([*ONE, "ours:string", "theirs:integer"]),
        {"ours": 5, "theirs": 6},
    ),
    "both add inputs, the other branch more of them": (
        flow(ONE),
        flow([*ONE, "ours:string"]),
        flow([*ONE, "a:string", "b:string", "c:string"]),
        flow([*ONE, "ours:string", "a:string", "b:string", "c:string"]),
        {"ours": 5, "a": 8, "b": 6, "c": 7},
    ),
    "both add the same input, and one of them another": (
        flow(ONE),
        flow([*ONE, "same:string"]),
        flow([*ONE, "same:string", "more:string"]),
        flow([*ONE, "same:string", "more:string"]),
        {"same": 5, "more": 6},
    ),
    "both add the same input, one of them after another": (
        flow(ONE),
        flow([*ONE, "same:string"]),
        flow([*ONE, "first:string", "same:string"]),
        flow([*ONE, "same:string", "first:string"]),
        {"same": 5, "first": 7},
    ),
    "both add the same name with different types": (
        flow(ONE),
        flow([*ONE, "same:string"]),
        flow([*ONE, "same:integer"]),
        flow([*ONE, "same:string"]),
        {"same": 5},
    ),
    "one removes an input, the other adds one": (
        flow(ONE),
        flow(),
        flow([*ONE, "theirs:string"]),
        flow(["theirs:string"]),
        {"theirs": 5},
    ),
    "both remove the same input and add others": (
        flow(ONE),
        flow(["o:string"]),
        flow(["t:string"]),
        flow(["o:string", "t:string"]),
        {"old": 4, "o": 5, "t": 6},
    ),
    "one removes an input, the other widens it": (
        flow(["old:string, max_length: 5"]),
        flow(),
        flow(["old:string, max_length: 9"]),
        flow(["old:string, max_length: 9"]),
        {"old": 4},
    ),
    "both remove, other ones": (
        flow(["a:string", "b:string"]),
        flow(["b:string"]),
        flow(["a:string"]),
        flow(),
        {},
    ),
    "both add an enum value": (
        flow(ONE),
        flow(ONE, "good, bad, ugly"),
        flow(ONE, "good, bad, fine"),
        flow(ONE, "good, bad, ugly, fine"),
        {"mood.ugly": 3, "mood.fine": 4},
    ),
    "both add a nested field": (
        flow(ONE),
        flow(ONE, fields=", {name: ours, type: string}"),
        flow(ONE, fields=", {name: theirs, type: integer}"),
        flow(ONE, fields=", {name: ours, type: string}, {name: theirs, type: integer}"),
        {"person.ours": 2, "person.theirs": 3},
    ),
    "both add an input with a message of its own": (
        flow(ONE),
        flow([*ONE, "o:object, fields: [{name: x, type: string}]"]),
        flow([*ONE, "t:object, fields: [{name: x, type: integer}]"]),
        flow([*ONE, "o:object, fields: [{name: x, type: string}]", "t:object, fields: [{name: x, type: integer}]"]),
        {"o": 5, "t": 6},
    ),
    "both add a step": (
        flow(ONE),
        flow(ONE, steps=["ours"]),
        flow(ONE, steps=["theirs"]),
        flow(ONE, steps=["ours", "theirs"]),
        {},
    ),
    "changes far from each other": (
        flow(ONE),
        flow([*ONE, "ours:string"]),
        flow(ONE, steps=["theirs"]),
        flow([*ONE, "ours:string"], steps=["theirs"]),
        {"ours": 5},
    ),
}
"""The flow before, on main, on the branch, and as somebody merges it; and what the lock then says."""


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("name", SHAPES)
def test_a_merge_resolves_and_moves_nothing_that_main_published(
    name: str, style: str, catalog: Catalog, tmp_path: Path
) -> None:
    base, ours, theirs, merged, expected = SHAPES[name]
    repository = Repository(tmp_path / "r", catalog, style)
    before = repository.commit(base)
    repository.git("checkout", "--quiet", "-b", "branch")
    other = repository.commit(theirs)
    repository.git("checkout", "--quiet", "main")
    main = repository.commit(ours)
    repository.git("merge", "branch", may_fail=True)
    (tmp_path / "r" / FLOW).write_text(merged)
    assert "<<<<<<<" in (tmp_path / "r" / LOCK).read_text()
    generated = repository.generate()
    assert any(found.code == "merged-lock" for found in generated.diagnostics)
    lock = repository.lock()
    assert {**numbers(lock), **numbers(before)} == numbers(lock)
    assert {name: numbers(lock)[name] for name in numbers(main)} == numbers(main)
    assert_nothing_is_reused(lock, other, generated)
    shown = {name: number for name, number in shortened(lock).items() if name in expected}
    assert shown == expected
    assert "<<<<<<<" not in (tmp_path / "r" / PROTO).read_text()
    again = generate(repository.project, catalog)
    assert (drift(repository.project, again), [str(found) for found in again.diagnostics]) == ((), [])


def numbers(lock: Lock) -> dict[str, int]:
    """Every number that stands for a name, there or gone."""
    found: dict[str, int] = {}
    for place, message in lock.messages.items():
        found |= {f"{place}.{name}": entry.number for name, entry in {**message.reserved, **message.fields}.items()}
    for place, enum in lock.enums.items():
        found |= {f"{place}.{name}": number for name, number in {**enum.reserved, **enum.values}.items()}
    return found


def shortened(lock: Lock) -> dict[str, int]:
    found = {name.removeprefix("ExecuteRequest."): number for name, number in numbers(lock).items()}
    return {name.replace("Mood", "mood").replace("Person", "person"): number for name, number in found.items()}


def assert_nothing_is_reused(lock: Lock, other: Lock, generated: Generated) -> None:
    """What the other branch published and has another number now is told, and the old one is not a third name's."""
    said = "\n".join(found.message for found in generated.diagnostics if found.code == "merged-lock")
    for name, number in numbers(other).items():
        if numbers(lock)[name] != number:
            assert f"`{name}` has number {numbers(lock)[name]}; on the other branch it had {number}" in said


def test_what_moved_is_told_with_the_reason(catalog: Catalog, tmp_path: Path) -> None:
    repository = Repository(tmp_path, catalog, "merge")
    base, ours, theirs, merged, _ = SHAPES["both add an input"]
    repository.commit(base)
    repository.git("checkout", "--quiet", "-b", "branch")
    repository.commit(theirs)
    repository.git("checkout", "--quiet", "main")
    repository.commit(ours)
    repository.git("merge", "branch", may_fail=True)
    (tmp_path / FLOW).write_text(merged)
    said = [str(found) for found in generate(repository.project, catalog).diagnostics]
    assert said == [
        f"{LOCK}:1:1: warning[merged-lock]: `ExecuteRequest.theirs` has number 6; on the other branch it had 5, "
        "which is `ours`\n  hint: clients of that branch alone have to be generated again",
        f"{LOCK}:1:1: warning[merged-lock]: the lock had merge conflicts; it is that of both branches now\n"
        "  hint: `promptflow generate` writes it; commit it with the flow",
    ]


def test_a_rebase_keeps_what_the_branch_below_published(catalog: Catalog, tmp_path: Path) -> None:
    repository = Repository(tmp_path, catalog, "zdiff3")
    base, ours, theirs, merged, expected = SHAPES["both add an input"]
    repository.commit(base)
    repository.git("checkout", "--quiet", "-b", "branch")
    repository.commit(theirs)
    repository.git("checkout", "--quiet", "main")
    repository.commit(ours)
    repository.git("checkout", "--quiet", "branch")
    repository.git("rebase", "main", may_fail=True)
    (tmp_path / FLOW).write_text(merged)
    repository.generate()
    assert {name: shortened(repository.lock())[name] for name in expected} == expected


SPLIT = {
    "merge": ("a\n<<<<<<< HEAD\nb\n=======\nc\n>>>>>>> x\nd\n", ("a\nb\nd\n", "a\nc\nd\n")),
    "diff3": ("<<<<<<< HEAD\nb\n||||||| 1\no\n=======\nc\n>>>>>>> x\n", ("b\n", "c\n")),
    "no title": ("<<<<<<<\nb\n=======\n>>>>>>>\n", ("b\n", "")),
    "line ends of Windows": ("<<<<<<< HEAD\r\nb\r\n=======\r\nc\r\n>>>>>>> x\r\n", ("b\r\n", "c\r\n")),
    "two": ("<<<<<<< h\na\n=======\nb\n>>>>>>> x\n<<<<<<< h\nc\n=======\nd\n>>>>>>> x\n", ("a\nc\n", "b\nd\n")),
    "longer markers": ("<<<<<<<<< h\na\n=========\nb\n>>>>>>>>> x\n", ("a\n", "b\n")),
}


@pytest.mark.parametrize("name", SPLIT)
def test_markers_are_read_as_git_writes_them(name: str) -> None:
    text, expected = SPLIT[name]
    assert split_conflicts(text) == expected


TORN = ("<<<<<<< HEAD\na\n", "<<<<<<< HEAD\n=======\n", "a\n=======\n", "<<<<<<< a\n<<<<<<< b\n", ">>>>>>> x\n")


@pytest.mark.parametrize("text", TORN)
def test_markers_that_do_not_fit_are_refused(text: str) -> None:
    with pytest.raises(ConflictError):
        split_conflicts(text)


def test_a_torn_lock_is_damage_and_stays_as_it_is(catalog: Catalog, tmp_path: Path) -> None:
    repository = Repository(tmp_path, catalog, "merge")
    repository.commit(flow())
    torn = (tmp_path / LOCK).read_text().replace("messages:", "<<<<<<< HEAD\nmessages:")
    (tmp_path / LOCK).write_text(torn)
    generated = generate(repository.project, catalog)
    (found,) = generated.diagnostics
    assert (found.code, found.is_error) == ("damaged-lock", True)
    assert "a merge conflict does not end" in found.message


def locked(**numbers: int) -> Lock:
    fields = {name: LockedField(number, "optional string") for name, number in numbers.items()}
    return Lock("x", 1, {"M": LockedMessage(fields)})


def test_a_retyped_view_takes_the_later_number() -> None:
    first = Lock("x", 1, {"M": LockedMessage({"a": LockedField(1, "A")})})
    second = Lock("x", 1, {"M": LockedMessage({"a": LockedField(2, "B")}, {}, (1,))})
    for one, other in ((first, second), (second, first)):
        merged = merge_locks(one, other)
        assert merged.lock == second
        assert merged.moved == ()


def test_a_number_that_both_gave_stays_with_the_first_and_the_second_is_told() -> None:
    merged = merge_locks(locked(a=1, b=2), locked(a=1, c=2, d=3))
    assert merged.lock == locked(a=1, b=2, d=3, c=4)
    assert merged.moved == ("`M.c` has number 4; on the other branch it had 2, which is `b`",)


def test_a_name_with_two_numbers_gives_the_second_up_for_good() -> None:
    merged = merge_locks(locked(a=1), locked(b=1, a=2))
    assert merged.lock == Lock(
        "x",
        1,
        {
            "M": LockedMessage(
                {"a": LockedField(1, "optional string"), "b": LockedField(3, "optional string")}, {}, (2,)
            )
        },
    )


def test_control_numbers_stay_free_in_a_merged_request() -> None:
    def request(name: str) -> Lock:
        return Lock("x", 1, {"ExecuteRequest": LockedMessage({name: LockedField(999, "optional string")})})

    merged = merge_locks(request("a"), request("b")).lock.messages["ExecuteRequest"]
    assert {name: entry.number for name, entry in merged.fields.items()} == {"a": 999, "b": 1100}


def test_bounds_are_the_wider_ones_and_optional_wins() -> None:
    def bound(is_required: bool, **limits: object) -> Lock:
        return Lock("x", 1, {"M": LockedMessage({"a": LockedField(1, "optional string", is_required, limits)})})

    merged = merge_locks(
        bound(True, min=1, max=5, pattern="a", values=["a"], min_length=1),
        bound(False, min=2, max=9, pattern="b", values=["b"]),
    )
    assert merged.lock == bound(False, min=1, max=9, values=["a", "b"])


def test_a_merged_enum_gives_no_number_twice() -> None:
    first = Lock("x", 1, {}, {"E": LockedEnum({"a": 1, "b": 2})})
    second = Lock("x", 1, {}, {"E": LockedEnum({"c": 2, "b": 3}, {"a": 1})})
    merged = merge_locks(first, second).lock
    assert merged.enums["E"] == LockedEnum({"a": 1, "b": 2, "c": 4}, {}, (3,))
    report = Report("x")
    assert parse_lock(print_lock(merged).encode(), flow="x", version=1, report=report) == merged, report.diagnostics
