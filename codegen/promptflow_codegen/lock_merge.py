"""One lock of the two that git could not merge: no number that either branch gave stands for two things afterwards.

Git leaves both texts between markers (`merge`, `diff3` or `zdiff3` style), and puts together what does not overlap. So
neither side is a lock that somebody printed: its digest says nothing, and it may even contradict itself. The first
side is the branch that is merged into, or rebased onto: what it published stays. What the other side added under the
same number is new on a branch, takes the next free number, and is told.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

from promptflow_codegen.lock import Lock, LockedEnum, LockedField, LockedMessage
from promptflow_codegen.numbering import CONTROL_NUMBERS, next_number

_MARKER = re.compile(r"(?P<mark><{7,}|\|{7,}|={7,}|>{7,})( .*)?\r?")
_REQUEST = "ExecuteRequest"


class ConflictError(ValueError):
    """Markers that are not as git writes them."""


@dataclass(frozen=True, slots=True)
class Merged:
    """The lock of both sides; `moved` says, a sentence each, which numbers of the second side are others now."""

    lock: Lock
    moved: tuple[str, ...]


def has_conflicts(text: str) -> bool:
    """Whether git left markers in the text."""
    return any(line.startswith("<<<<<<<") for line in text.splitlines())


def split_conflicts(text: str) -> tuple[str, str]:
    """The texts of the two sides, first that of the branch that was merged into.

    Raises:
        ConflictError: a marker is missing or out of place.
    """
    sides: tuple[list[str], list[str]] = ([], [])
    state = "both"
    for line in text.split("\n"):
        state, is_marker = _next_state(state, line)
        if is_marker:
            continue
        if state in ("both", "first"):
            sides[0].append(line)
        if state in ("both", "second"):
            sides[1].append(line)
    if state != "both":
        raise ConflictError("a merge conflict does not end")
    return "\n".join(sides[0]), "\n".join(sides[1])


_NEXT = {
    ("both", "<"): "first",
    ("first", "|"): "base",
    ("first", "="): "second",
    ("base", "="): "second",
    ("second", ">"): "both",
}


def _next_state(state: str, line: str) -> tuple[str, bool]:
    found = _MARKER.fullmatch(line)
    if found is None:
        return state, False
    following = _NEXT.get((state, found["mark"][0]))
    if following is None:
        raise ConflictError(f"the marker `{found['mark'][:7]}` of a merge conflict is out of place")
    return following, True


_OWNER = re.compile(r"  \S.*:")
_SECTION = re.compile(r"    (?P<name>fields|reserved|retired|values):(?: (?P<open>[\[{])(?P<inline>.*)[\]}])?")
_ENTRY = re.compile(r"      (?P<name>[^:]+): \{.*\}")


def without_repetition(text: str) -> str:
    """A side of a conflict in which no message, section or entry stands twice.

    What git puts together of two texts may open a section again that is open already.
    """
    heads: dict[str, None] = {}
    owners: dict[str, dict[str, dict[str, str]]] = {}
    top = owner = section = ""
    for line in map(str.rstrip, text.split("\n")):
        if found := _ENTRY.fullmatch(line):
            owners[owner][section].setdefault(found["name"], line)
        elif found := _SECTION.fullmatch(line):
            section = found["name"]
            entries = owners[owner].setdefault(section, {"": found["open"] or ""})
            entries |= dict.fromkeys(filter(None, (found["inline"] or "").split(", ")), "")
        elif _OWNER.fullmatch(line):
            owner = f"{top}\n{line}"
            owners.setdefault(owner, {})
        elif line and not line.startswith("#"):
            top = line
            heads.setdefault(line)
    return "".join(_repeated(head, owners) for head in heads)


def _repeated(head: str, owners: Mapping[str, Mapping[str, Mapping[str, str]]]) -> str:
    lines = [head]
    for owner, sections in owners.items():
        if owner.startswith(f"{head}\n"):
            lines.append(owner.partition("\n")[2])
            lines += [line for name, entries in sections.items() for line in _section_lines(name, entries)]
    return "\n".join(lines) + "\n"


def _section_lines(name: str, entries: Mapping[str, str]) -> Iterator[str]:
    opening = entries[""]
    own = [entry for entry in entries if entry]
    if opening and not any(entries[entry] for entry in own):
        yield f"    {name}: {opening}{', '.join(own)}{']' if opening == '[' else '}'}"
        return
    yield f"    {name}:"
    yield from (entries[entry] for entry in own)


def merge_locks(first: Lock, second: Lock) -> Merged:
    """Everything that either side knows; where they disagree about a number, the first one is right."""
    moved: list[str] = []
    messages = {
        name: _merge_message(name, first.messages.get(name), second.messages.get(name), moved)
        for name in {**first.messages, **second.messages}
    }
    enums = {
        name: _merge_enum(name, first.enums.get(name), second.enums.get(name), moved)
        for name in {**first.enums, **second.enums}
    }
    return Merged(Lock(first.flow, first.version, messages, enums), tuple(moved))


def _merge_message(
    place: str, first: LockedMessage | None, second: LockedMessage | None, moved: list[str]
) -> LockedMessage:
    first, second = first or LockedMessage(), second or LockedMessage()
    ours, theirs = {**first.reserved, **first.fields}, {**second.reserved, **second.fields}
    skipped = CONTROL_NUMBERS if place == _REQUEST else range(0)
    numbering = _Numbering(place, {*first.retired, *second.retired}, {*first.numbers, *second.numbers}, skipped)
    chosen = {name: _of_both(ours.get(name), theirs.get(name), numbering.retired) for name in {**ours, **theirs}}
    kept = {name: entry.number for name, entry in chosen.items() if name in ours and entry.number == ours[name].number}
    numbers = numbering.assign(kept, {name: entry.number for name, entry in chosen.items() if name not in kept})
    sides = [{name: entry.number for name, entry in side.items()} for side in (ours, theirs)]
    moved += numbering.told(numbers, *sides)
    merged = {name: replace(entry, number=numbers[name]) for name, entry in chosen.items()}
    present = {*first.fields, *second.fields}
    return LockedMessage(
        {name: entry for name, entry in merged.items() if name in present},
        {name: entry for name, entry in merged.items() if name not in present},
        numbering.given_up(numbers),
    )


def _merge_enum(place: str, first: LockedEnum | None, second: LockedEnum | None, moved: list[str]) -> LockedEnum:
    first, second = first or LockedEnum(), second or LockedEnum()
    ours, theirs = {**first.reserved, **first.values}, {**second.reserved, **second.values}
    retired = {*first.retired, *second.retired}
    numbering = _Numbering(place, retired, {*retired, *ours.values(), *theirs.values()})
    numbers = numbering.assign(ours, {name: number for name, number in theirs.items() if name not in ours})
    moved += numbering.told(numbers, ours, theirs)
    present = {*first.values, *second.values}
    return LockedEnum(
        {name: number for name, number in numbers.items() if name in present},
        {name: number for name, number in numbers.items() if name not in present},
        numbering.given_up(numbers),
    )


@dataclass(frozen=True, slots=True)
class _Numbering:
    """The numbers of one message or enum: `used` by either side, and of these `retired`, which belong to nothing."""

    place: str
    retired: Collection[int]
    used: Collection[int]
    skipped: range = range(0)

    def assign(self, kept: Mapping[str, int], wanted: Mapping[str, int]) -> dict[str, int]:
        """A number for each name: `kept` comes first, then who of `wanted` finds its own still free."""
        found: dict[str, int] = {}
        owners: dict[int, str] = {}
        used = set(self.used)
        homeless: list[str] = []
        for name, number in chain(_by_number(kept), _by_number(wanted)):
            if number in self.retired or owners.setdefault(number, name) != name:
                homeless.append(name)
            else:
                found[name] = number
        for name in homeless:
            found[name] = next_number(used, self.skipped)
            used.add(found[name])
        return found

    def told(self, numbers: Mapping[str, int], first: Mapping[str, int], second: Mapping[str, int]) -> Iterator[str]:
        """A sentence for each name that does not have the number that a branch gave it."""
        owners = {number: name for name, number in numbers.items()}
        for side, branch in ((first, "the branch merged into"), (second, "the other branch")):
            for name, number in _by_number(side):
                if numbers[name] == number or number in self.retired:
                    continue
                reason = f", which is `{owners[number]}`" if number in owners else ""
                yield f"`{self.place}.{name}` has number {numbers[name]}; on {branch} it had {number}{reason}"

    def given_up(self, numbers: Mapping[str, int]) -> tuple[int, ...]:
        """What any branch used and nothing has now: never to be used again."""
        return tuple(sorted(set(self.used) - set(numbers.values())))


def _by_number(numbers: Mapping[str, int]) -> Sequence[tuple[str, int]]:
    return sorted(numbers.items(), key=lambda item: (item[1], item[0]))


def _of_both(first: LockedField | None, second: LockedField | None, retired: Collection[int]) -> LockedField:
    """A name that both sides may know. Who gave a number up has the later say about the name."""
    if first is None or second is None:
        found = first or second
        assert found is not None
        return found
    if first.number != second.number:
        return second if first.number in retired and second.number not in retired else first
    if first.type != second.type:
        return first
    constraints = {
        key: _widest(key, limit, second.constraints[key])
        for key, limit in first.constraints.items()
        if key in second.constraints
    }
    kept = {key: limit for key, limit in constraints.items() if limit is not None}
    return LockedField(
        *(first.number, first.type, first.is_required and second.is_required, kept),
        first.has_default or second.has_default,
    )


def _widest(key: str, first: Any, second: Any) -> Any:
    """The bound that takes what either takes; None where there is none."""
    if first == second:
        return first
    if isinstance(first, list | tuple) and isinstance(second, list | tuple):
        values: list[Any] = [*first, *second]
        return list(dict.fromkeys(values))
    if isinstance(first, int | float) and isinstance(second, int | float):
        pick: Callable[[Any, Any], Any] = min if key.removeprefix("item_").startswith("min") else max
        return pick(first, second)
    return None
