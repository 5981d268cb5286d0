"""One engine process on an empty server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.unit.server.engine.executors import Gate, Gated
from tests.unit.server.engine.processes import EngineProcess, engine_process


@pytest.fixture
async def engine(flushed_redis_url: str, tmp_path: Path) -> AsyncIterator[EngineProcess]:
    async with engine_process(flushed_redis_url, tmp_path) as process:
        yield process


@pytest.fixture
def gate() -> Gate:
    Gated.gates["gate"] = Gate()
    return Gated.gates["gate"]
