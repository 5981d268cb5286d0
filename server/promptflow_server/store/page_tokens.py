"""Tokens of pages: where the next page of a list begins, in a form that callers hand back and do not read."""

from __future__ import annotations

import base64
import binascii
import hashlib

MAX_TOKEN_LENGTH = 512


class PageTokenError(ValueError):
    """A token that this list has not given; says what to send."""


def page_token(place: str, list_name: str) -> str:
    """The token of a place in a list, which is named by all that makes it another list, such as its filters."""
    return base64.urlsafe_b64encode(f"{_digest(list_name)}/{place}".encode()).decode().rstrip("=")


def place_of(token: str, list_name: str) -> str:
    """The place that a token of this list stands for, "" for the beginning.

    Raises:
        PageTokenError: it is no token, or one of another list.
    """
    if not token:
        return ""
    try:
        text = base64.urlsafe_b64decode(token[:MAX_TOKEN_LENGTH] + "=" * (-len(token) % 4)).decode()
    except (binascii.Error, ValueError):
        text = ""
    digest, _, place = text.partition("/")
    if not place:
        raise no_token()
    if digest != _digest(list_name):
        raise PageTokenError("is of a list with other filters; send those, or no token")
    return place


def no_token() -> PageTokenError:
    """What a text is that no list has given."""
    return PageTokenError("is none of ours; send `next_page_token` of the page before")


def _digest(list_name: str) -> str:
    return hashlib.sha256(list_name.encode()).hexdigest()[:12]
