from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.contract.memory_engine import MemoryEngine
from tests.contract.serving import Server, serving
from tests.unit.server.services.everything import compile_everything

from promptflow_codegen.bundle import Bundle


@pytest.fixture(scope="session")
def everything() -> Bundle:
    return compile_everything()


@pytest.fixture
def engine() -> MemoryEngine:
    return MemoryEngine()


@pytest.fixture
async def server(everything: Bundle, engine: MemoryEngine, tmp_path: Path) -> AsyncIterator[Server]:
    async with serving(everything, engine, tmp_path / "files") as server:
        yield server
