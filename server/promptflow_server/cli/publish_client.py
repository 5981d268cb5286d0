"""FlowService as a publisher calls it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]

from promptflow_codegen.bundle import Bundle, definition_digest
from promptflow_codegen.descriptors import pool_of, with_imports
from promptflow_codegen.pack import MAX_PACKED_BYTES, pack
from promptflow_server.cli.failures import CommandError

DEADLINE_S = 60.0
LIST_DEADLINE_S = 10.0

_SERVICE = "promptflow_api.v1.FlowService"
_SERVICE_FILE = "promptflow_api/v1/flow_service.proto"
_V1 = "promptflow_api.v1"
_PAGE = 1000

Flows = Mapping[tuple[str, int], str]
"""(name, version) of what is served -> the digest of its definition."""


@dataclass(frozen=True, slots=True)
class PublishOutcome:
    """What servers serve now, or would, and what that changed: flows as `name v1`."""

    digest: str
    previous: str
    added: Sequence[str]
    changed: Sequence[str]
    removed: Sequence[str]

    def lines(self) -> list[str]:
        """A line for each kind of change, for people."""
        kinds = {"added": self.added, "changed": self.changed, "removed": self.removed}
        return [f"  {kind:<8} {', '.join(flows)}" for kind, flows in kinds.items() if flows]


async def publish_bundle(
    bundle: Bundle, address: str, *, token: str = "", validate_only: bool = False
) -> PublishOutcome:
    """Have the servers behind `address` serve a bundle.

    Raises:
        CommandError: nobody answers there, or the bundle is refused, with every reason.
    """
    stub = _Stub(bundle, token)
    packing = asyncio.create_task(asyncio.to_thread(pack, bundle))
    try:
        async with grpc.aio.insecure_channel(address, options=[("grpc.max_receive_message_length", -1)]) as channel:
            before = await stub.flows(channel)
            packed = await packing
            if len(packed) > MAX_PACKED_BYTES:
                size, limit = len(packed) >> 20, MAX_PACKED_BYTES >> 20
                raise CommandError(f"the bundle has {size} MiB packed; {limit} MiB are the limit")
            answer = await stub.publish(channel, packed, validate_only=validate_only)
    except grpc.aio.AioRpcError as error:
        raise CommandError(_explained(error, address)) from None
    finally:
        await asyncio.wait([packing])
    return _outcome(bundle, before, answer)


class _Stub:
    """FlowService by the descriptors of the bundle that is published."""

    def __init__(self, bundle: Bundle, token: str) -> None:
        files = FileDescriptorSet.FromString(bundle.descriptors).file
        self._pool = pool_of(with_imports(files, _SERVICE_FILE))
        self._metadata = (("authorization", f"Bearer {token}"),) if token else ()

    async def flows(self, channel: grpc.aio.Channel) -> Flows:
        """What is served."""
        found: dict[tuple[str, int], str] = {}
        token = ""
        while True:
            request = self._message("ListFlowsRequest", page_size=_PAGE, page_token=token)
            page = await self._call(channel, "ListFlows", request, LIST_DEADLINE_S)
            found |= {(flow.flow, flow.version): flow.digest for flow in page.flows}
            token = page.next_page_token
            if not token:
                return found

    async def publish(self, channel: grpc.aio.Channel, packed: bytes, *, validate_only: bool) -> Any:
        """A PublishBundleResponse."""
        request = self._message("PublishBundleRequest", bundle=packed, validate_only=validate_only)
        return await self._call(channel, "PublishBundle", request, DEADLINE_S)

    async def _call(self, channel: grpc.aio.Channel, method: str, request: Any, deadline_s: float) -> Any:
        call: Any = channel.unary_unary(f"/{_SERVICE}/{method}")  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
        data = await call(
            request.SerializeToString(), timeout=deadline_s, metadata=self._metadata, wait_for_ready=False
        )
        return self._class(f"{method}Response").FromString(data)

    def _message(self, name: str, **fields: Any) -> Any:
        return self._class(name)(**fields)

    def _class(self, name: str) -> Any:
        return GetMessageClass(self._pool.FindMessageTypeByName(f"{_V1}.{name}"))


def _outcome(bundle: Bundle, before: Flows, answer: Any) -> PublishOutcome:
    after = {(plan.name, plan.version): definition_digest(plan) for plan in bundle.plans}
    both = before.keys() & after.keys()
    return PublishOutcome(
        digest=answer.bundle_digest,
        previous=answer.previous_digest,
        added=_titles(after.keys() - before.keys()),
        changed=_titles({key for key in both if before[key] != after[key]}),
        removed=_titles(before.keys() - after.keys()),
    )


def _titles(keys: set[tuple[str, int]]) -> list[str]:
    return [f"{name} v{version}" for name, version in sorted(keys)]


def _explained(error: grpc.aio.AioRpcError, address: str) -> str:
    """What a publisher is told: each reason on a line of its own."""
    code, details, status = error.code(), error.details() or "", _status(error)
    if code is grpc.StatusCode.UNAVAILABLE and status is None:
        return f"no server answers at {address}: {details}; start one, or name another with `--address`"
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return f"the server at {address} takes no bundles; is it PromptFlow's gRPC port, of this release?"
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return f"the server at {address} did not answer in time; see its log, and publish again"
    violations = _violations(status) if status is not None else []
    if not violations:
        return details
    return "the servers refuse the bundle, and serve what they served:\n" + "\n".join(violations)


def _status(error: grpc.aio.AioRpcError) -> Any:
    """The `google.rpc.Status` of a server that answered; None: nobody did, or something that is no PromptFlow."""
    data = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin")
    if not isinstance(data, bytes):
        return None
    try:
        return status_pb2.Status.FromString(data)
    except DecodeError:
        return None


def _violations(status: Any) -> list[str]:
    found: list[str] = []
    for detail in status.details:
        bad = error_details_pb2.BadRequest()
        if detail.Unpack(bad):
            found += [f"  {violation.field}: {violation.description}" for violation in bad.field_violations]
    return found
