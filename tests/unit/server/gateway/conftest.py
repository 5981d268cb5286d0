from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.unit.server.gateway.echo_server import RunningGateway, compile_echo, running_gateway


@pytest.fixture(scope="session")
def echo_descriptors() -> bytes:
    return compile_echo()


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[RunningGateway]:
    async with running_gateway(tmp_path) as running:
        yield running
