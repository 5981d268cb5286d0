"""What a step gives to the flow that it runs: made to fit, completed and checked as a caller's inputs are."""

from __future__ import annotations

from collections.abc import Mapping

from promptflow_core.coercion import CoercionError, coerce
from promptflow_core.defaults import default_of, defaults_inside
from promptflow_core.errors import FlowError, Reason, Violation
from promptflow_core.types import FieldType, ListType, MapType
from promptflow_core.values import NativeValue
from promptflow_server.engine.program import Program

MAX_TOLD = 5


def callee_inputs(callee: Program, given: Mapping[str, NativeValue], path: str) -> Mapping[str, NativeValue]:
    """The inputs of a flow from the rendered config of the step at `path`, with defaults.

    Raises:
        FlowError: INVALID_INPUT, with every violation.
    """
    inputs: dict[str, NativeValue] = {}
    violations: list[Violation] = []
    for field in callee.plan.inputs.fields:
        try:
            value = _value_of(field, given.get(field.name))
        except CoercionError as error:
            violations.append(Violation(error.path or field.name, error.message))
        except (ArithmeticError, RecursionError, TypeError, ValueError) as error:
            violations.append(Violation(field.name, str(error)))
        else:
            if value is not None:
                inputs[field.name] = value
    told = {_root(violation) for violation in violations}
    violations += [violation for violation in callee.check(inputs) if _root(violation) not in told]
    if violations:
        raise _refused(callee, violations, path)
    return inputs


def _value_of(field: FieldType, value: NativeValue) -> NativeValue:
    """The value of one input, None where it has none; an empty list or map is an absent one, as in a request."""
    if value is None or (isinstance(field.type, ListType | MapType) and value in ([], {})):
        if field.default is not None:
            return default_of(field)
        if field.required:
            raise CoercionError("value is required", field.name)
        return None
    return defaults_inside(coerce(value, field.type, field.name), field.type)


def _root(violation: Violation) -> str:
    return violation.field.partition(".")[0].partition("[")[0]


def _refused(callee: Program, violations: list[Violation], path: str) -> FlowError:
    shown = [f"`{violation.field}`: {violation.description}" for violation in violations[:MAX_TOLD]]
    if len(violations) > MAX_TOLD:
        shown.append(f"and {len(violations) - MAX_TOLD} more")
    placed = tuple(Violation(f"{path}.{one.field}", one.description) for one in violations)
    message = f"flow `{callee.plan.name}` refuses its inputs: {'; '.join(shown)}"
    return FlowError(Reason.INVALID_INPUT, message, violations=placed)
