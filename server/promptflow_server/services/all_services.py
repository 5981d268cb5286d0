"""Every service of a bundle, ready to be put on a gRPC server."""

from __future__ import annotations

from dataclasses import dataclass

import grpc

from promptflow_codegen.bundle import Bundle
from promptflow_server.engine.interface import Engine
from promptflow_server.services.admission import Admission
from promptflow_server.services.contracts import Contracts
from promptflow_server.services.event_feed import HEARTBEAT_S
from promptflow_server.services.executions import FlowExecutions
from promptflow_server.services.flow_health import FlowHealth, Ping
from promptflow_server.services.flow_servicer import FlowServicer
from promptflow_server.services.http_face.servicer import HttpServicer
from promptflow_server.services.reflection import reflection_handlers
from promptflow_workers.dispatch.interface import CallDispatch


@dataclass(frozen=True, slots=True)
class Backend:
    """What the services of all flows stand on."""

    engine: Engine
    admission: Admission
    calls: CallDispatch
    ping: Ping
    heartbeat_s: float = HEARTBEAT_S


def flow_handlers(contracts: Contracts, backend: Backend) -> list[grpc.GenericRpcHandler]:
    """The service of each flow, twins included."""
    handlers: list[grpc.GenericRpcHandler] = []
    for contract in contracts.flows:
        executions = FlowExecutions(contract, backend.engine, backend.admission, heartbeat_s=backend.heartbeat_s)
        servicer = FlowServicer(executions, FlowHealth(contract, backend.ping, backend.calls))
        methods = {**servicer.handlers(), **HttpServicer(executions).handlers()}
        handlers.append(grpc.method_handlers_generic_handler(contract.service, methods))
    return handlers


def all_handlers(bundle: Bundle, contracts: Contracts, backend: Backend) -> list[grpc.GenericRpcHandler]:
    """The services of all flows, and reflection that tells of them."""
    services = (*contracts.services, "grpc.health.v1.Health")
    return [*flow_handlers(contracts, backend), *reflection_handlers(bundle.descriptors, services)]
