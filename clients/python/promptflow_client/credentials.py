"""Headers that say who calls, made afresh for each call."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

Headers = Sequence[tuple[str, str | bytes]]
MetadataHook = Callable[[], Headers | Awaitable[Headers]]


def api_key(key: str) -> MetadataHook:
    """Send an API key with each call."""
    return lambda: (("x-api-key", key),)


def bearer(token: str | Callable[[], str | Awaitable[str]]) -> MetadataHook:
    """Send a bearer token with each call; a function is asked each time, so that tokens can be renewed."""

    async def headers() -> Headers:
        current = token() if callable(token) else token
        value = current if isinstance(current, str) else await current
        return (("authorization", f"Bearer {value}"),)

    return headers
