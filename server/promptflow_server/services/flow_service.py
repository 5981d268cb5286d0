"""FlowService: which flows are served, and how others take their place."""

from __future__ import annotations

import hmac
import ipaddress
import re
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, Protocol
from urllib.parse import unquote

import grpc

from promptflow_codegen.bundle import Bundle, definition_digest
from promptflow_codegen.naming import kebab
from promptflow_codegen.plan import FlowPlan
from promptflow_core.errors import FlowError, Reason, Violation
from promptflow_server.services.contracts import Contracts, Message, full_name_of
from promptflow_server.services.errors import bad_request
from promptflow_server.services.flow_servicer import Context, serialize
from promptflow_server.services.requests import read_request

SERVICE = "promptflow_api.v1.FlowService"
PAGE_SIZE = 50

_V1 = "promptflow_api.v1"
_TOKEN = re.compile(r"([a-z][a-z0-9_]{0,127})/([0-9]{1,9})")


class Outcome(Protocol):
    """What is served after a publish, and what was served before."""

    @property
    def digest(self) -> str:
        """Of the bundle that is served now."""
        ...

    @property
    def previous(self) -> str:
        """Of the one before."""
        ...


class Publish(Protocol):
    """Takes bundles; see `bundles.publisher.Publisher`."""

    async def publish(self, packed: bytes, *, validate_only: bool = False) -> Outcome:
        """Check a packed bundle and serve it."""
        ...


class Definitions:
    """Digests of plans, kept for those that the next bundle has too."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, int], tuple[FlowPlan, str]] = {}

    def digest(self, plan: FlowPlan) -> str:
        """Equal for two plans that are the same."""
        known = self._known.get((plan.name, plan.version))
        if known is None or known[0] != plan:
            known = self._known[plan.name, plan.version] = plan, definition_digest(plan)
        return known[1]


class FlowList(grpc.GenericRpcHandler):
    """ListFlows, as one bundle has it."""

    def __init__(self, bundle: Bundle, contracts: Contracts, definitions: Definitions) -> None:
        self._bundle = bundle
        self._contracts = contracts
        self._definitions = definitions
        self._method: Any = grpc.unary_unary_rpc_method_handler(self._list_flows, None, serialize)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """The one method that there is."""
        return self._method if handler_call_details.method == f"/{SERVICE}/ListFlows" else None

    async def _list_flows(self, data: bytes, context: Context) -> Message:
        """A page of the flows that are served."""
        del context
        request = read_request(self._contracts.message(f"{_V1}.ListFlowsRequest"), data, self._contracts)
        size, after = request.page_size or PAGE_SIZE, _after(request.page_token)
        plans = [plan for plan in self._plans if (plan.name, plan.version) > after]
        response = self._contracts.message(f"{_V1}.ListFlowsResponse")(bundle_digest=self._bundle.digest)
        for plan in plans[:size]:
            response.flows.add(**_summary(plan, self._definitions.digest(plan)))
        if len(plans) > size:
            last = plans[size - 1]
            response.next_page_token = f"{last.name}/{last.version}"
        return response

    @cached_property
    def _plans(self) -> list[FlowPlan]:
        return sorted(self._bundle.plans, key=lambda plan: (plan.name, plan.version))


class PublishHandler(grpc.GenericRpcHandler):
    """PublishBundle, whatever bundle is served: `contracts` answers its messages, `token` is what publishers must have;
    "" lets those on this machine."""

    def __init__(self, publisher: Publish, contracts: Callable[[], Contracts], *, token: str) -> None:
        self._publisher = publisher
        self._contracts = contracts
        self._token = token
        self._method: Any = grpc.unary_unary_rpc_method_handler(self._publish_bundle, None, serialize)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """The one method that there is."""
        return self._method if handler_call_details.method == f"/{SERVICE}/PublishBundle" else None

    async def _publish_bundle(self, data: bytes, context: Context) -> Message:
        """Serve another bundle, or tell everything that stands against it."""
        require_publisher(context.peer(), _metadata(context), self._token)
        contracts = self._contracts()
        request = read_request(contracts.message(f"{_V1}.PublishBundleRequest"), data, contracts)
        outcome = await self._publisher.publish(request.bundle, validate_only=request.validate_only)
        return contracts.message(f"{_V1}.PublishBundleResponse")(
            bundle_digest=outcome.digest, previous_digest=outcome.previous
        )


def require_publisher(peer: str, metadata: Mapping[str, str], token: str) -> None:
    """Nothing, where a caller may publish: with the token, where there is one; else from this machine, by no proxy.

    A page in a browser reaches the edge from this machine too, hence no word of a proxy counts.

    Raises:
        FlowError: CALLER_REFUSED.
    """
    if token:
        given = metadata.get("authorization", "").removeprefix("Bearer ").strip()
        if hmac.compare_digest(given.encode(), token.encode()):
            return
        what = "is not the one that this server has" if given else "is missing"
        message = f"the token {what}; set `PROMPTFLOW_PUBLISH_TOKEN` for the publisher as it is set for the servers"
        raise FlowError(Reason.CALLER_REFUSED, message)
    if "x-forwarded-for" in metadata or not _is_on_this_machine(peer):
        raise FlowError(
            Reason.CALLER_REFUSED,
            "bundles are published at the server's own port from its own machine; from elsewhere or through a gateway "
            "set `PROMPTFLOW_PUBLISH_TOKEN` for servers and publisher",
        )


def _summary(plan: FlowPlan, digest: str) -> dict[str, Any]:
    return {
        "flow": plan.name,
        "version": plan.version,
        "description": plan.description,
        "service": full_name_of(plan),
        "path": f"/api/v{plan.version}/{kebab(plan.name)}",
        "digest": digest,
    }


def _after(page_token: str) -> tuple[str, int]:
    if not page_token:
        return "", 0
    found = _TOKEN.fullmatch(page_token)
    if found is None:
        raise bad_request([Violation("page_token", "is none of ours; send `next_page_token` of the page before")])
    return found[1], int(found[2])


def _metadata(context: Context) -> Mapping[str, str]:
    pairs = context.invocation_metadata() or ()
    return {key: value if isinstance(value, str) else value.decode("latin-1") for key, value in pairs}


def _is_on_this_machine(peer: str) -> bool:
    kind, _, rest = peer.partition(":")
    if kind == "unix":
        return True
    host = unquote(rest).rpartition(":")[0].strip("[]").partition("%")[0]
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback
