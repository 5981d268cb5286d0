"""The filters that PromptFlow adds to Jinja2."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from jinja2.exceptions import FilterArgumentError
from jinja2.runtime import Undefined

_BLANK_LINE = re.compile(r"\n[^\S\n]*\n")
_END = re.compile(r"""(?<![.!?…])[.!?…]++["'”’»)\]]*+(?=\s)|[。！？]++["'”’」』）]*+""")
_OPENING = re.compile(r"""["'“‘«(\[¿¡—–-]*""")
_LAST_WORD = re.compile(r"\S+$")
_INITIAL = re.compile(r"[A-Z]|(?:[A-Za-z]\.)+[A-Za-z]")


def words(text: str) -> frozenset[str]:
    """The words of `text`, for look-ups."""
    return frozenset(text.split())


_NEVER_LAST = words(
    "mr mrs ms mx dr prof rev fr st sr jr hon capt col gen lt sgt messrs vs cf e.g i.e eg ie viz fig no nos vol pp "
    "approx dept est"
)
_SELDOM_LAST = words("a.m p.m")


def sentences(text: Any) -> list[str]:
    """Split a text into sentences.

    Line breaks are spaces; a blank line ends a sentence, so that an address or a greeting is one of its own.
    `Mr.`, `e.g.`, initials and decimal points end none.
    """
    if isinstance(text, Undefined):
        str(text)
    if not isinstance(text, str):
        raise FilterArgumentError(f"`sentences` splits a text, not {type(text).__name__}")
    blocks = _BLANK_LINE.split(text.replace("\r\n", "\n").replace("\r", "\n").replace("\f", "\n\n"))
    return [sentence for block in blocks for sentence in _split_block(" ".join(block.split()))]


def with_field(items: Any, name: str, values: Any) -> list[dict[str, Any]]:
    """Each object of `items` with `name` set to its counterpart in `values`."""
    objects, counterparts = list(items), list(values)
    if len(objects) != len(counterparts):
        raise FilterArgumentError(
            f"`with_field` pairs two lists of one length, not {len(objects)} objects with {len(counterparts)} values"
        )
    if not all(isinstance(item, Mapping) for item in objects):
        raise FilterArgumentError("`with_field` sets a field of objects; the list holds something else")
    return [{**item, name: value} for item, value in zip(objects, counterparts, strict=True)]


def _split_block(block: str) -> Sequence[str]:
    found: list[str] = []
    start = 0
    for match in _END.finditer(block):
        if _ends_sentence(block, start, match):
            found.append(block[start : match.end()].strip())
            start = match.end()
    found.append(block[start:].strip())
    return [sentence for sentence in found if sentence]


def _ends_sentence(block: str, start: int, match: re.Match[str]) -> bool:
    mark = match.group()
    if mark[0] in "。！？":
        return True
    following = block[match.end() : match.end() + 8].lstrip()
    opening = _OPENING.match(following)
    following = following[opening.end() if opening else 0 :]
    starts_anew = not following[:1].islower()
    if mark.startswith(".."):
        return starts_anew
    if mark[0] != ".":
        return starts_anew or (mark[0] in "!?" and mark[-1] in "!?")
    word_match = _LAST_WORD.search(block, max(start, match.start() - 40), match.start())
    word = word_match.group().lstrip("\"'“‘«([") if word_match else ""
    folded = word.casefold()
    if folded in _NEVER_LAST or (_INITIAL.fullmatch(word) and folded not in _SELDOM_LAST):
        return False
    if word.isdigit() and block[start : match.start()].strip() == word:
        return False
    return starts_anew
