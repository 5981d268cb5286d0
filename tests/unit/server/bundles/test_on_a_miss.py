"""What an unknown method costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from tests.unit.server.services.everything import compile_everything

from promptflow_codegen.bundle import Bundle, BundleError
from promptflow_core.errors import FlowError
from promptflow_server.bundles.on_a_miss import UNKNOWN_FOR_S, MissInterceptor
from promptflow_server.services.contracts import Contracts, FlowContract


class Past:
    """A follower that finds nothing newer, and the older bundles: one; it counts what it is asked."""

    def __init__(self, bundle: Bundle) -> None:
        self.flow = Contracts.of(bundle).flows[0]
        self.now, self.looks, self.made = 0.0, 0, 0

    async def catch_up(self) -> bool:
        self.looks += 1
        return False

    async def retired(self, service: str) -> FlowContract | None:
        return self.flow if service == self.flow.service else None

    def methods_of(self, contract: FlowContract) -> Mapping[str, Any]:
        self.made += 1
        return dict.fromkeys(("GetStatus", "Execute"), contract)


@dataclass
class Details(grpc.HandlerCallDetails):
    """The name of a method."""

    method: str
    invocation_metadata: Any = ()


@pytest.fixture
def past() -> Past:
    return Past(compile_everything())


@pytest.fixture
def interceptor(past: Past) -> MissInterceptor:
    return MissInterceptor(past, past, past.methods_of, lambda: past.now)


async def ask(interceptor: MissInterceptor, method: str, answer: Any = None) -> Any:
    async def serve(details: grpc.HandlerCallDetails) -> Any:
        del details
        if isinstance(answer, Exception):
            raise answer
        return answer

    return await interceptor.intercept_service(serve, Details(method))


async def test_a_method_that_nobody_has_is_looked_for_once_in_a_while(past: Past, interceptor: MissInterceptor) -> None:
    for _ in range(10):
        assert await ask(interceptor, "/no.Such/Method") is None
    assert past.looks == 1
    past.now += UNKNOWN_FOR_S
    assert await ask(interceptor, "/no.Such/Method") is None
    assert past.looks == 2
    assert await ask(interceptor, "/no.Such/Method", answer="now it is here") == "now it is here"


async def test_the_handlers_of_an_old_flow_are_made_once(past: Past, interceptor: MissInterceptor) -> None:
    for _ in range(3):
        assert await ask(interceptor, f"/{past.flow.service}/GetStatus") is past.flow
    assert await ask(interceptor, f"/{past.flow.service}/Execute") is None, "nothing new begins with an old flow"
    assert past.made == 1


async def test_a_damaged_bundle_fails_the_call_and_says_so(interceptor: MissInterceptor) -> None:
    handler = await ask(interceptor, "/a.B/C", answer=BundleError("bundle 1 is damaged"))
    with pytest.raises(FlowError, match="bundle 1 is damaged"):
        await handler.stream_stream(None, None)
