"""ListExecutions: pages of runs as callers ask for them."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from tests.contract.memory_engine import MemoryEngine, complete, stall
from tests.contract.serving import CallError, Server, failure_of
from tests.contract.test_execute import failed

from promptflow_codegen.bundle import Bundle
from promptflow_server.services.contracts import Contracts

SERVICE = "promptflow_api.v1.ExecutionService"
COMPLETED, FAILED, RUNNING = 3, 4, 2


class Lists:
    """Asks for lists."""

    def __init__(self, server: Server, contracts: Contracts) -> None:
        self._server = server
        self._request = contracts.message("promptflow_api.v1.ListExecutionsRequest")
        self._response = contracts.message("promptflow_api.v1.ListExecutionsResponse")

    async def page(self, **fields: Any) -> Any:
        call: Any = self._server.channel.unary_unary(f"/{SERVICE}/ListExecutions")(
            self._request(**fields).SerializeToString(), timeout=5
        )
        try:
            return self._response.FromString(await call)
        except grpc.aio.AioRpcError as error:
            raise await failure_of(error, call) from None


@pytest.fixture
def lists(server: Server, everything: Bundle) -> Lists:
    return Lists(server, Contracts.of(everything))


async def started(server: Server, count: int = 1, **fields: Any) -> list[str]:
    request = server.contract.execute_request(text="hello", **fields)
    return [(await server.call("Execute", request)).execution_id for _ in range(count)]


async def test_a_summary_tells_which_run_it_is_and_how_it_stands(
    server: Server, engine: MemoryEngine, lists: Lists
) -> None:
    engine.script = failed
    (name,) = await started(server, options={"labels": {"team": "a"}})
    status = await server.call("GetStatus", server.contract.get_status_request(execution_id=name))
    (summary,) = (await lists.page()).executions
    assert (summary.execution_id, summary.flow, summary.version) == (name, "everything", 1)
    assert summary.status == FAILED
    for part in ("progress", "error", "metadata"):
        assert getattr(summary, part).SerializeToString() == getattr(status, part).SerializeToString()
    assert dict(summary.metadata.labels) == {"team": "a"}


async def test_pages_lead_to_the_last(server: Server, lists: Lists) -> None:
    names = await started(server, 7)
    seen: list[str] = []
    sizes: list[int] = []
    token = ""
    while True:
        page = await lists.page(page_size=3, page_token=token)
        seen += [summary.execution_id for summary in page.executions]
        sizes.append(len(page.executions))
        token = page.next_page_token
        if not token:
            break
    assert (sorted(seen), sizes) == (sorted(names), [3, 3, 1])


async def test_a_page_has_fifty_runs_unless_asked_otherwise(server: Server, lists: Lists) -> None:
    await started(server, 51)
    page = await lists.page()
    assert (len(page.executions), bool(page.next_page_token)) == (50, True)


async def test_filters_by_flow_version_and_status(server: Server, engine: MemoryEngine, lists: Lists) -> None:
    done = await started(server)
    engine.script = stall
    running = await started(server)
    engine.script = complete
    cases: list[tuple[dict[str, Any], list[str]]] = [
        ({"flow": "everything"}, sorted(done + running)),
        ({"flow": "nothing"}, []),
        ({"version": 2}, []),
        ({"statuses": [COMPLETED]}, done),
        ({"statuses": [RUNNING, FAILED]}, running),
        ({"statuses": [0]}, sorted(done + running)),
    ]
    for fields, expected in cases:
        page = await lists.page(**fields)
        assert sorted(summary.execution_id for summary in page.executions) == expected, fields


async def test_a_token_is_good_for_the_list_that_gave_it_alone(server: Server, lists: Lists) -> None:
    await started(server, 3)
    token = (await lists.page(page_size=1, flow="everything")).next_page_token
    assert (await lists.page(page_size=2, flow="everything", page_token=token)).executions
    with pytest.raises(CallError) as caught:
        await lists.page(page_token=token)
    assert caught.value.violations == {"page_token": "is of a list with other filters; send those, or no token"}


BAD: list[tuple[dict[str, Any], str]] = [
    ({"page_size": -1}, "page_size"),
    ({"page_size": 1001}, "page_size"),
    ({"version": -1}, "version"),
    ({"statuses": [99]}, "statuses[0]"),
    ({"page_token": "x"}, "page_token"),
    ({"page_token": "\u2028"}, "page_token"),
    ({"page_token": "a" * 100_000}, "page_token"),
    ({"page_token": "AAAA"}, "page_token"),
]


@pytest.mark.parametrize(("fields", "field"), BAD)
async def test_a_request_that_does_not_hold_names_its_field(lists: Lists, fields: dict[str, Any], field: str) -> None:
    with pytest.raises(CallError) as caught:
        await lists.page(**fields)
    assert (caught.value.code, list(caught.value.violations)) == (grpc.StatusCode.INVALID_ARGUMENT, [field])


async def test_a_store_that_does_not_answer_is_told_in_time(engine: MemoryEngine, server: Server, lists: Lists) -> None:
    engine.may_read.clear()
    call: Any = server.channel.unary_unary(f"/{SERVICE}/ListExecutions")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(b"", timeout=0.5)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
