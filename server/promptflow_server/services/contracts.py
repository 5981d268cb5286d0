"""Flows as messages: the pool that a bundle's descriptors make, and what each flow's service says and hears."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import protovalidate
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import Descriptor, ServiceDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from promptflow_codegen.bundle import Bundle, BundleError
from promptflow_codegen.descriptors import pool_of
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
    batch_execute_request: MessageClass
    batch_execute_response: MessageClass
    plan_response: MessageClass
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


class Contracts:
    """All flows of one bundle, each made when it is first asked for. A new bundle makes a new value; messages of the
    two never mix."""

    def __init__(self, digest: str, pool: DescriptorPool, plans: Sequence[FlowPlan]) -> None:
        self.digest = digest
        self.pool = pool
        self._plans = {full_name_of(plan): plan for plan in plans}
        self._services = {(plan.name, plan.version): service for service, plan in self._plans.items()}
        self.validator = protovalidate.Validator()
        self._made: dict[str, FlowContract] = {}

    @classmethod
    def of(cls, bundle: Bundle) -> Contracts:
        """Build the pool and find every flow's service in it.

        Raises:
            BundleError: the descriptors do not hold together, or lack what a plan names.
        """
        try:
            pool = pool_of(descriptor_pb2.FileDescriptorSet.FromString(bundle.descriptors).file)
            contracts = cls(bundle.digest, pool, bundle.plans)
            for service in contracts.services:
                pool.FindServiceByName(service)
        except (DecodeError, KeyError, TypeError, ValueError) as error:
            raise _damaged(bundle.digest, error) from error
        return contracts

    @property
    def services(self) -> tuple[str, ...]:
        """The full names of all services, in the bundle's order."""
        return tuple(self._plans)

    @property
    def flows(self) -> tuple[FlowContract, ...]:
        """All flows, in the bundle's order.

        Raises:
            BundleError: as `flow`.
        """
        return tuple(map(self.flow, self._plans))

    def flow(self, service: str) -> FlowContract:
        """The flow behind a service.

        Raises:
            KeyError: there is none of this name.
            BundleError: its service is not shaped as that of a flow.
        """
        found = self._made.get(service)
        if found is None:
            plan = self._plans[service]
            try:
                found = self._made[service] = _contract(plan, self.pool, self.digest, self.validator)
            except (KeyError, TypeError, ValueError) as error:
                raise _damaged(self.digest, error) from error
        return found

    def message(self, name: str) -> MessageClass:
        """The class of a message that belongs to no flow, by its full name.

        Raises:
            BundleError: the descriptors lack it.
        """
        try:
            return _class_of(self.pool.FindMessageTypeByName(name))
        except KeyError as error:
            raise _damaged(self.digest, error) from error

    def of_flow(self, flow: str, version: int) -> FlowContract | None:
        """One major version of a flow, if it is here.

        Raises:
            BundleError: as `flow`.
        """
        service = self._services.get((flow, version))
        return None if service is None else self.flow(service)


def reserved_of(descriptor: Descriptor) -> descriptor_pb2.DescriptorProto:
    """The declaration of a message, which alone tells the numbers and names that it has given up."""
    declared = descriptor_pb2.DescriptorProto()
    descriptor.CopyToProto(declared)
    return declared


def _contract(plan: FlowPlan, pool: DescriptorPool, digest: str, validator: protovalidate.Validator) -> FlowContract:
    service: ServiceDescriptor = pool.FindServiceByName(full_name_of(plan))
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
        batch_execute_request=request("BatchExecute"),
        batch_execute_response=response("BatchExecute"),
        plan_response=response("Plan"),
        execution=response("Execute"),
        event=response("Watch"),
        get_info_request=request("GetInfo"),
        get_info_response=response("GetInfo"),
        check_health_request=request("CheckHealth"),
        check_health_response=response("CheckHealth"),
    )


def _damaged(digest: str, error: Exception) -> BundleError:
    return BundleError(f"bundle {digest} is damaged: {error}; run `promptflow generate`")


def full_name_of(plan: FlowPlan) -> str:
    """The full name of a flow's service."""
    return plan.service if "." in plan.service else f"{plan.package}.{plan.service}"


def _class_of(descriptor: Descriptor) -> MessageClass:
    return cast("MessageClass", GetMessageClass(descriptor))
