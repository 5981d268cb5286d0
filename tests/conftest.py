"""What tests of several packages share: a real Valkey for the whole session."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import redis

from promptflow_server.embedded_redis import EmbeddedRedis
from promptflow_workers.dispatch.link import Link


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a private server that lives as long as the session. What it holds is left by other tests."""
    directory: Path = tmp_path_factory.mktemp("redis")
    embedded = EmbeddedRedis(directory)
    yield embedded.start()
    embedded.close()


@pytest.fixture(scope="module")
def own_redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a server of one module alone: a bundle published into one is served by every server on it."""
    embedded = EmbeddedRedis(tmp_path_factory.mktemp("redis"))
    yield embedded.start()
    embedded.close()


@pytest.fixture
def flushed_redis_url(redis_url: str) -> str:
    """The URL of the session's server, emptied of every key; functions stay loaded."""
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    return redis_url


@pytest.fixture
async def link(flushed_redis_url: str) -> AsyncIterator[Link]:
    """A process's connections to the emptied server."""
    async with Link(flushed_redis_url) as connected:
        yield connected
