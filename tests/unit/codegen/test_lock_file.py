"""Locks as text: damage is one clear diagnostic."""

from __future__ import annotations

import pytest

from promptflow_codegen.diagnostics import Report
from promptflow_codegen.lock import Lock, LockedEnum, LockedField, LockedMessage
from promptflow_codegen.lock_file import parse_lock, print_lock

LOCK = Lock(
    "mail",
    2,
    {
        "ExecuteRequest": LockedMessage(
            {
                "text": LockedField(1, "optional string", is_required=True),
                "on": LockedField(3, "optional int64", constraints={"min": 0.0, "max": 1e22}),
                "code": LockedField(
                    4,
                    "optional string",
                    constraints={"pattern": '^"é\\d\n', "values": ["\x85\u200b\ufeff\u2028😀", "b"]},
                ),
            },
            {"old": LockedField(2, "X")},
            (5, 6),
        ),
        "Result": LockedMessage(),
    },
    {"ExecuteRequest.Color": LockedEnum({"red": 1, "No": 3}, {"blue": 2})},
)


def parse(text: str, flow: str = "mail", version: int = 2) -> tuple[Lock | None, list[str]]:
    report = Report("mail.lock.yaml")
    lock = parse_lock(text.encode(), flow=flow, version=version, report=report)
    return lock, [str(found) for found in report.diagnostics]


def test_a_lock_is_read_as_it_was_printed() -> None:
    assert parse(print_lock(LOCK)) == (LOCK, [])


def test_one_lock_has_one_text() -> None:
    shuffled = Lock(
        LOCK.flow,
        LOCK.version,
        {
            name: LockedMessage(dict(reversed(list(message.fields.items()))), message.reserved, message.retired)
            for name, message in reversed(list(LOCK.messages.items()))
        },
        LOCK.enums,
    )
    assert print_lock(shuffled) == print_lock(LOCK)


def test_line_ends_and_comments_do_no_harm() -> None:
    text = print_lock(LOCK).replace("\n", "\r\n") + "# a comment\r\n"
    assert parse(text) == (LOCK, [])


PRINTED_OTHERWISE = {
    "a whole bound as a float": ("min: 0.0", "min: 0"),
    "more space": ("number: 4", "number:   4"),
    "other quotes": ('"optional int64"', "'optional int64'"),
}


@pytest.mark.parametrize("name", PRINTED_OTHERWISE)
def test_a_lock_that_another_release_printed_otherwise_is_read(name: str) -> None:
    old, new = PRINTED_OTHERWISE[name]
    text = print_lock(LOCK)
    assert old in text
    assert parse(text.replace(old, new)) == (LOCK, [])


DAMAGE = {
    "a number moved": ("number: 4", "number: 7", "edited by hand"),
    "a name changed": ("code:", "kode:", "edited by hand"),
    "required dropped": (", required: true", "", "edited by hand"),
    "a number twice": ("number: 4", "number: 1", "number 1 twice"),
    "a number that is retired": ("number: 4", "number: 6", "number 6 twice"),
    "an enum number twice": ('"No": 3', '"No": 2', "number 2 twice"),
    "there and gone": ("      old:", "      text:", "as present and as removed"),
    "no number": ("number: 4", "number: four", "messages.ExecuteRequest.fields.code.number"),
    "number zero": ("number: 4", "number: 0", "greater than or equal to 1"),
    "a key more": ("retired:", "retried:", "retried"),
    "another format": ("format: 1", "format: 0", "format"),
    "another flow": ("flow: mail", "flow: male", "of male v2, not of mail v2"),
    "a merge conflict": ("messages:", "<<<<<<< ours\nmessages:", "cannot be read"),
    "an anchor": ("messages:", "messages: &a", "anchors"),
    "cut off": ("digest:", "digest: [", "cannot be read"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_one_diagnostic_that_says_what_to_do(name: str) -> None:
    old, new, expected = DAMAGE[name]
    text = print_lock(LOCK)
    assert old in text
    lock, (found,) = parse(text.replace(old, new, 1))
    assert lock is None
    assert found.startswith("mail.lock.yaml:")
    assert "error[damaged-lock]: " in found
    assert expected in found
    assert found.endswith("hint: restore it from version control; numbers that clients know would move otherwise")


def test_a_lock_of_a_newer_release_is_told_from_a_damaged_one() -> None:
    lock, (found,) = parse(print_lock(LOCK).replace("format: 1", "format: 99", 1))
    assert lock is None
    assert "the lock has format 99: a newer release wrote it" in found
    assert "hint: generate with that release" in found


def test_an_empty_lock_is_damaged() -> None:
    lock, (found,) = parse("")
    assert lock is None
    assert "holds nothing" in found
