"""Every service of a bundle, ready to be put on a gRPC server."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import grpc

from promptflow_codegen.bundle import Bundle
from promptflow_server.engine.interface import Engine
from promptflow_server.services.admission import Admission
from promptflow_server.services.batches import STARTS_AT_ONCE, Batches
from promptflow_server.services.contracts import Contracts, FlowContract
from promptflow_server.services.documents import document_handlers
from promptflow_server.services.event_feed import HEARTBEAT_S
from promptflow_server.services.execution_service import SERVICE as EXECUTION_SERVICE
from promptflow_server.services.execution_service import ExecutionServicer
from promptflow_server.services.executions import FlowExecutions
from promptflow_server.services.flow_health import FlowHealth, Ping
from promptflow_server.services.flow_service import SERVICE as FLOW_SERVICE
from promptflow_server.services.flow_service import Definitions, FlowList
from promptflow_server.services.flow_servicer import FlowServicer
from promptflow_server.services.http_face.servicer import HttpServicer
from promptflow_server.services.planning import PLANS_AT_ONCE, CallCost, Planner, unknown_cost
from promptflow_server.services.reflection import reflection_handlers
from promptflow_server.services.run_views import ContractOf
from promptflow_workers.dispatch.interface import CallDispatch


@dataclass(frozen=True, slots=True)
class Backend:
    """What the services of all flows stand on."""

    engine: Engine
    admission: Admission
    calls: CallDispatch
    ping: Ping
    heartbeat_s: float = HEARTBEAT_S
    contract_of: ContractOf | None = None
    definitions: Definitions = field(default_factory=Definitions)
    cost_of: CallCost = unknown_cost
    plan_slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(PLANS_AT_ONCE))
    batch_starts: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(STARTS_AT_ONCE))


class FlowTable(grpc.GenericRpcHandler):
    """The services of all flows, twins included; each is made when it is first called."""

    def __init__(self, contracts: Contracts, backend: Backend) -> None:
        self._contracts = contracts
        self._backend = backend
        self._services = frozenset(contracts.services)
        self._made: dict[str, Mapping[str, Any]] = {}

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """The handler of a method, None where no flow has it."""
        service, _, method = str(handler_call_details.method).removeprefix("/").rpartition("/")
        if service not in self._services:
            return None
        if service not in self._made:
            self._made[service] = methods_of(self._contracts.flow(service), self._backend)
        return self._made[service].get(method)


def methods_of(contract: FlowContract, backend: Backend) -> Mapping[str, Any]:
    """The handlers of one flow's service by method, twins included."""
    executions = FlowExecutions(
        contract,
        backend.engine,
        backend.admission,
        heartbeat_s=backend.heartbeat_s,
        contract_of=backend.contract_of,
    )
    batches = Batches(executions, starts=backend.batch_starts)
    planner = Planner(contract, backend.admission, slots=backend.plan_slots, cost_of=backend.cost_of)
    servicer = FlowServicer(executions, FlowHealth(contract, backend.ping, backend.calls), batches, planner)
    return {**servicer.handlers(), **HttpServicer(executions, batches, planner).handlers()}


def flow_handlers(contracts: Contracts, backend: Backend) -> list[grpc.GenericRpcHandler]:
    """The service of each flow, twins included."""
    return [FlowTable(contracts, backend)]


def service_names(contracts: Contracts) -> tuple[str, ...]:
    """The services that a bundle is served with: those of its flows, and the control plane."""
    return (*contracts.services, EXECUTION_SERVICE, FLOW_SERVICE)


def all_handlers(bundle: Bundle, contracts: Contracts, backend: Backend) -> list[grpc.GenericRpcHandler]:
    """The services of all flows, reflection that tells of them, and the documents."""
    services = (*service_names(contracts), "grpc.health.v1.Health")
    return [
        *flow_handlers(contracts, backend),
        ExecutionServicer(contracts, backend.engine).handler(),
        FlowList(bundle, contracts, backend.definitions),
        *reflection_handlers(contracts.pool, services),
        *document_handlers(bundle),
    ]
