"""Flows as messages: the pool that a bundle's descriptors make, and what each flow's service says and hears."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, cast

import protovalidate
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import Descriptor, ServiceDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

from promptflow_codegen.bundle import Bundle, BundleError
from promptflow_codegen.plan import FlowPlan

Message = Any
"""An instance of a class from a pool: its fields are known to descriptors alone."""


class MessageClass(Protocol):
    """A message class from a pool."""

    DESCRIPTOR: Descriptor

    def __call__(self, **fields: Any) -> Message:
        """A new message."""
        ...

    def FromString(self, data: bytes) -> Message:  # noqa: N802
        """Parse the wire form.

        Raises:
            google.protobuf.message.DecodeError: it is no message.
        """
        ...


@dataclass(frozen=True, slots=True)
class FlowContract:
    """One flow's service: its plan and its message classes."""

    plan: FlowPlan
    digest: str
    service: str
    pool: DescriptorPool
    validator: protovalidate.Validator
    execute_request: MessageClass
    watch_request: MessageClass
    get_status_request: MessageClass
    cancel_request: MessageClass
    execution: MessageClass
    event: MessageClass
    get_info_request: MessageClass
    get_info_response: MessageClass
    check_health_request: MessageClass
    check_health_response: MessageClass

    @property
    def title(self) -> str:
        """The flow as messages to people name it."""
        return f"`{self.plan.name}` v{self.plan.version}"


@dataclass(frozen=True, slots=True)
class Contracts:
    """All flows of one bundle. A new bundle makes a new value; messages of the two never mix."""

    digest: str
    pool: DescriptorPool
    flows: tuple[FlowContract, ...]

    @classmethod
    def of(cls, bundle: Bundle) -> Contracts:
        """Build the pool and find every flow's service in it.

        Raises:
            BundleError: the descriptors do not hold together, or lack what a plan names.
        """
        try:
            pool = pool_of(descriptor_pb2.FileDescriptorSet.FromString(bundle.descriptors))
            validator = protovalidate.Validator()
            flows = tuple(_contract(plan, pool, bundle.digest, validator) for plan in bundle.plans)
        except (KeyError, TypeError, ValueError) as error:
            raise BundleError(f"bundle {bundle.digest} is damaged: {error}; run `promptflow generate`") from error
        return cls(bundle.digest, pool, flows)

    @property
    def services(self) -> tuple[str, ...]:
        """The full names of all services, in the bundle's order."""
        return tuple(flow.service for flow in self.flows)


def pool_of(files: descriptor_pb2.FileDescriptorSet) -> DescriptorPool:
    """A pool of its own; `files` are in dependency order."""
    pool = DescriptorPool()
    for file in files.file:
        pool.AddSerializedFile(file.SerializeToString())
    return pool


def reserved_of(descriptor: Descriptor) -> descriptor_pb2.DescriptorProto:
    """The declaration of a message, which alone tells the numbers and names that it has given up."""
    declared = descriptor_pb2.DescriptorProto()
    descriptor.CopyToProto(declared)
    return declared


def _contract(plan: FlowPlan, pool: DescriptorPool, digest: str, validator: protovalidate.Validator) -> FlowContract:
    service: ServiceDescriptor = pool.FindServiceByName(_full_name(plan))
    methods = {method.name: method for method in service.methods}

    def request(method: str) -> MessageClass:
        return _class_of(methods[method].input_type)

    def response(method: str) -> MessageClass:
        return _class_of(methods[method].output_type)

    return FlowContract(
        plan=plan,
        digest=digest,
        service=service.full_name,
        pool=pool,
        validator=validator,
        execute_request=request("Execute"),
        watch_request=request("Watch"),
        get_status_request=request("GetStatus"),
        cancel_request=request("Cancel"),
        execution=response("Execute"),
        event=response("Watch"),
        get_info_request=request("GetInfo"),
        get_info_response=response("GetInfo"),
        check_health_request=request("CheckHealth"),
        check_health_response=response("CheckHealth"),
    )


def _full_name(plan: FlowPlan) -> str:
    return plan.service if "." in plan.service else f"{plan.package}.{plan.service}"


def _class_of(descriptor: Descriptor) -> MessageClass:
    return cast("MessageClass", GetMessageClass(descriptor))
