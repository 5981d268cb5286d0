"""A StateManager on a real server."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from promptflow_server.store.state import StateManager
from promptflow_workers.dispatch.link import Link


@pytest.fixture
async def link(redis_url: str) -> AsyncIterator[Link]:
    async with Link(redis_url) as link:
        yield link


@pytest.fixture
def state(link: Link) -> StateManager:
    return StateManager(link)
