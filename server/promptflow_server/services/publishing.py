"""FlowService: which flows are served, and how others take their place."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol
from urllib.parse import unquote

import grpc

from promptflow_codegen.bundle import Bundle, plans_json
from promptflow_codegen.naming import kebab
from promptflow_codegen.plan import FlowPlan
from promptflow_core.errors import FlowError, Reason, Violation
from promptflow_server.services.contracts import Contracts, Message
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


@dataclass(frozen=True, slots=True)
class Publishing:
    """How this process publishes, and `token`, by which callers from elsewhere may; "" lets none."""

    publisher: Publish
    token: str = field(default="", repr=False)


class FlowServiceServicer:
    """The service as one bundle has it."""

    def __init__(self, bundle: Bundle, contracts: Contracts, publishing: Publishing | None) -> None:
        self._bundle = bundle
        self._contracts = contracts
        self._publishing = publishing

    def handler(self) -> grpc.GenericRpcHandler:
        """What is put on a server."""
        unary = grpc.unary_unary_rpc_method_handler
        methods: dict[str, Any] = {
            "ListFlows": unary(self.list_flows, None, serialize),
            "PublishBundle": unary(self.publish_bundle, None, serialize),
        }
        return grpc.method_handlers_generic_handler(SERVICE, methods)

    async def list_flows(self, data: bytes, context: Context) -> Message:
        """A page of the flows that are served."""
        del context
        request = read_request(self._contracts.message(f"{_V1}.ListFlowsRequest"), data, self._contracts)
        size, after = request.page_size or PAGE_SIZE, _after(request.page_token)
        plans = [plan for plan in self._plans if (plan.name, plan.version) > after]
        response = self._contracts.message(f"{_V1}.ListFlowsResponse")(bundle_digest=self._bundle.digest)
        for plan in plans[:size]:
            response.flows.add(**_summary(plan))
        if len(plans) > size:
            last = plans[size - 1]
            response.next_page_token = f"{last.name}/{last.version}"
        return response

    async def publish_bundle(self, data: bytes, context: Context) -> Message:
        """Serve another bundle, or tell everything that stands against it."""
        if self._publishing is None:
            raise FlowError(Reason.CALLER_REFUSED, "this server takes no bundles")
        require_publisher(context.peer(), _metadata(context), self._publishing.token)
        request = read_request(self._contracts.message(f"{_V1}.PublishBundleRequest"), data, self._contracts)
        outcome = await self._publishing.publisher.publish(request.bundle, validate_only=request.validate_only)
        return self._contracts.message(f"{_V1}.PublishBundleResponse")(
            bundle_digest=outcome.digest, previous_digest=outcome.previous
        )

    @cached_property
    def _plans(self) -> list[FlowPlan]:
        return sorted(self._bundle.plans, key=lambda plan: (plan.name, plan.version))


def require_publisher(peer: str, metadata: Mapping[str, str], token: str) -> None:
    """Nothing, where a caller may publish: one on this machine that came through no proxy, or one with the token.

    A page in a browser reaches the edge from this machine too, hence no word of a proxy counts.

    Raises:
        FlowError: CALLER_REFUSED.
    """
    given = metadata.get("authorization", "").removeprefix("Bearer ").strip()
    if token and hmac.compare_digest(given.encode(), token.encode()):
        return
    if given:
        raise FlowError(Reason.CALLER_REFUSED, "the token is not the one that `PROMPTFLOW_PUBLISH_TOKEN` names here")
    if "x-forwarded-for" in metadata or not _is_on_this_machine(peer):
        raise FlowError(
            Reason.CALLER_REFUSED,
            "bundles are published at the server's own port from its own machine; from elsewhere or through a gateway "
            "set `PROMPTFLOW_PUBLISH_TOKEN` for servers and publisher",
        )


def definition_digest(plan: FlowPlan) -> str:
    """Equal for two plans that are the same."""
    return hashlib.sha256(plans_json((plan,))).hexdigest()[:16]


def _summary(plan: FlowPlan) -> dict[str, Any]:
    return {
        "flow": plan.name,
        "version": plan.version,
        "description": plan.description,
        "service": plan.service if "." in plan.service else f"{plan.package}.{plan.service}",
        "path": f"/api/v{plan.version}/{kebab(plan.name)}",
        "digest": definition_digest(plan),
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
