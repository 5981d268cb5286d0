"""One document for all flows, in OpenAPI 3.1."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence

from google.protobuf.descriptor import Descriptor, ServiceDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from promptflow_codegen.emit.openapi.annotations import Annotations
from promptflow_codegen.emit.openapi.failures import error_schema, failure_components
from promptflow_codegen.emit.openapi.operations import OperationWriter
from promptflow_codegen.emit.openapi.schemas import ERROR, Schema, Schemas
from promptflow_codegen.emit.openapi.wording import describe_fields
from promptflow_codegen.naming import PACKAGE_ROOT
from promptflow_codegen.plan import FlowPlan

OPENAPI = "openapi.json"
"""The document in a bundle."""

_ABOUT = """Each flow is a service: run it, follow it, look at it, end it. The same is there in gRPC and grpc-web on \
this port. Every failure is a `google.rpc.Status` as JSON, with a stable `reason`."""


def emit_openapi(descriptors: FileDescriptorSet, plans: Sequence[FlowPlan]) -> Mapping[str, bytes]:
    """The document by its file name; `descriptors` are in dependency order. Equal arguments give equal bytes."""
    annotations = Annotations(descriptors)
    content = hashlib.sha256(descriptors.SerializeToString(deterministic=True)).hexdigest()[:12]
    document = _document(annotations, {plan.package: plan for plan in plans}, f"1.0.0+{content}")
    return {OPENAPI: json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()}


def _document(annotations: Annotations, plans: Mapping[str, FlowPlan], content: str) -> Schema:
    schemas = Schemas(annotations, _names_of(plans))
    services = annotations.services()
    _collect(services, annotations, schemas)
    for plan in plans.values():
        _describe(plan, schemas)
    paths: Schema = {}
    for service in services:
        owner = plans.get(service.file.package)
        writer = OperationWriter(schemas, _prefix(owner), _tag(owner, service))
        for method in service.methods:
            route = annotations.route(method)
            if route is not None:
                paths.setdefault(route.path, {})[route.verb] = writer.operation(method, route)
    schemas.components[ERROR] = error_schema()
    return {
        "openapi": "3.1.1",
        "info": {"title": "PromptFlow", "version": content, "description": _ABOUT},
        "servers": [{"url": "/"}],
        "tags": list(_tags(services, plans)),
        "paths": {path: paths[path] for path in sorted(paths)},
        "components": {
            "schemas": {name: schemas.components[name] for name in sorted(schemas.components)},
            "responses": failure_components(),
        },
    }


def _collect(services: Sequence[ServiceDescriptor], annotations: Annotations, schemas: Schemas) -> None:
    """Have every schema before words and examples are laid over them; what is sent comes first, for it is strict."""
    methods = [method for service in services for method in service.methods]
    for method in methods:
        route = annotations.route(method)
        if route is not None and route.takes_message:
            schemas.given(method.input_type)
    for method in methods:
        if annotations.route(method) is not None:
            schemas.answered(method.output_type)


def _describe(plan: FlowPlan, schemas: Schemas) -> None:
    components = schemas.components
    described = {"ExecuteRequest": plan.inputs, "Result": plan.result}
    for message, fields in described.items():
        schema = components.get(f"{_title(plan)}.{message}")
        if schema is not None:
            describe_fields(schema, fields.fields, components)


def _names_of(plans: Mapping[str, FlowPlan]) -> Callable[[Descriptor], str]:
    """Names of components: `<flow>.v<major>.<Message>`, those of the hand-written contract without its package."""
    ours = f"{PACKAGE_ROOT}.v1."

    def name_of(message: Descriptor) -> str:
        package = message.file.package
        plan = plans.get(package)
        if plan is not None:
            return f"{_title(plan)}.{message.full_name.removeprefix(f'{package}.')}"
        return message.full_name.removeprefix(ours)

    return name_of


def _title(plan: FlowPlan) -> str:
    return f"{plan.name}.v{plan.version}"


def _prefix(plan: FlowPlan | None) -> str:
    return "" if plan is None else f"{plan.name}_v{plan.version}_"


def _tag(plan: FlowPlan | None, service: ServiceDescriptor) -> str:
    if plan is None:
        return service.name
    return plan.name if plan.version == 1 else f"{plan.name} v{plan.version}"


def _tags(services: Sequence[ServiceDescriptor], plans: Mapping[str, FlowPlan]) -> Iterator[Schema]:
    for service in services:
        plan = plans.get(service.file.package)
        tag: Schema = {"name": _tag(plan, service)}
        if plan is not None and plan.description:
            tag["description"] = plan.description
        yield tag
