"""Calls whose one message is missing or cut off: they are answered, rather than left until somebody gives up."""

from __future__ import annotations

import grpc
import pytest
from tests.contract.memory_engine import MemoryEngine
from tests.contract.serving import Server
from tests.contract.test_compression import call, framed

METHODS = ["Execute", "ExecuteStream", "Watch", "GetStatus", "Cancel", "BatchExecute", "Plan", "GetInfo", "CheckHealth"]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kept", [0, 1, 5, 7])
async def test_a_call_without_a_whole_message_is_answered(
    server: Server, engine: MemoryEngine, method: str, kept: int
) -> None:
    whole = framed(server.contract.execute_request(text="hello").SerializeToString(), packed=False)
    found, _ = await call(server, method, whole[:kept], {})
    assert int(found["grpc-status"]) in (grpc.StatusCode.INVALID_ARGUMENT.value[0], grpc.StatusCode.INTERNAL.value[0])
    assert not engine.runs
