from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import redis
from tests.contract.bundles import Flows
from tests.contract.memory_engine import MemoryEngine
from tests.contract.serving import Server, serving
from tests.contract.test_app import EXECUTORS
from tests.unit.server.services.everything import compile_everything

from promptflow_codegen.bundle import Bundle
from promptflow_codegen.project import Project
from promptflow_core.settings import Settings


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


@pytest.fixture
def flows(tmp_path: Path) -> Flows:
    (tmp_path / "project" / "flows").mkdir(parents=True)
    return Flows(Project.at(tmp_path / "project"))


@pytest.fixture
def settings(own_redis_url: str, tmp_path: Path) -> Settings:
    with redis.Redis.from_url(own_redis_url) as client:
        client.flushall()
    return Settings(redis_url=own_redis_url, data_dir=tmp_path, executors=EXECUTORS)
