"""What a flow is, as the server runs it, in the words of its YAML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from promptflow_codegen.plan import FlowPlan, StepPlan
from promptflow_core.types import EnumType, FieldType, ListType, MapType, ObjectType, ValueType, spelling
from promptflow_server.services.contracts import FlowContract, Message


def describe(contract: FlowContract) -> Message:
    """A GetInfoResponse."""
    plan = contract.plan
    info = contract.get_info_response(
        flow=plan.name, version=plan.version, description=plan.description, bundle_digest=contract.digest
    )
    info.definition.update(_definition_of(plan))
    return info


def _definition_of(plan: FlowPlan) -> dict[str, Any]:
    return {
        "inputs": _fields(plan.inputs),
        "steps": [_step(step) for step in plan.steps],
        "result": _fields(plan.result),
        **({"outputs": dict(plan.outputs)} if plan.outputs is not None else {}),
        **({"labels": dict(plan.labels)} if plan.labels else {}),
        **({"timeout_ms": plan.timeout_ms} if plan.timeout_ms is not None else {}),
    }


def _step(step: StepPlan) -> dict[str, Any]:
    optional = {
        "condition": step.condition,
        "for_each": step.for_each,
        "as": step.items_name if step.for_each is not None else None,
        "max_parallel": step.max_parallel or None,
        "timeout_ms": step.timeout_ms,
        "retry": asdict(step.retry) if step.retry.max_attempts > 1 else None,
        "queue": step.queue,
    }
    return {
        "name": step.name,
        **({"executor": step.executor} if step.flow is None else {"flow": str(step.flow)}),
        "config": dict(step.config),
        "needs": list(step.needs),
        "output": _fields(step.output),
        **_given(optional),
        **({"description": step.description} if step.description else {}),
    }


def _fields(object_type: ObjectType) -> list[dict[str, Any]]:
    return [_field(field) for field in object_type.fields]


def _field(field: FieldType) -> dict[str, Any]:
    inner = _innermost(field.type)
    constraints = {name: value for name, value in asdict(field.constraints).items() if value is not None}
    return {
        "name": field.name,
        "type": spelling(field.type),
        **({"required": True} if field.required else {}),
        **_given({"default": field.default}),
        **({"description": field.description} if field.description else {}),
        **({"values": list(inner.values)} if isinstance(inner, EnumType) else {}),
        **({"fields": _fields(inner)} if isinstance(inner, ObjectType) else {}),
        **{name: _plain(value) for name, value in constraints.items()},
    }


def _innermost(value_type: ValueType) -> ValueType:
    match value_type:
        case ListType(element=inner) | MapType(value=inner):
            return inner
        case _:
            return value_type


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _plain(value: Any) -> Any:
    is_sequence = isinstance(value, Sequence) and not isinstance(value, str)
    return list(value) if is_sequence else value  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
