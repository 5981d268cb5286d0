"""One value, made by a template and fitted to a declared type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from promptflow_core.coercion import CoercionError, coerce
from promptflow_core.errors import FlowError, Reason
from promptflow_core.executor import BaseExecutor, ExecutionContext, ExecutionResult, ExecutorConfig
from promptflow_core.type_syntax import TypeSyntaxError, parse_type
from promptflow_core.types import SCALARS, FieldType, Kind, ObjectType
from promptflow_core.values import NativeValue

_KEYS = ("type", "fields", "values", "value")


class TransformConfig(ExecutorConfig):
    """`value` is the template; `type`, `fields` and `values` declare what it yields, as for a flow input."""

    type: str = Field("string", description="type of the value; templates are not allowed here")
    value: Any = Field(description="the value, mostly a template")
    fields: list[Any] | None = Field(None, description="fields of the `object` in `type`")
    values: list[Any] | None = Field(None, description="values of the `enum` in `type`")


class Transform(BaseExecutor[TransformConfig, dict[str, NativeValue]]):
    """Turn what earlier steps yielded into one value of a declared type."""

    name = "transform"
    Config = TransformConfig

    @classmethod
    def output_type(cls, config: Mapping[str, Any]) -> ObjectType:
        """One field, `value`, of the type that `type`, `fields` and `values` spell.

        Raises:
            TypeSyntaxError: they spell none, or `value` is missing; the path starts at `config`.
        """
        if "value" not in config:
            raise TypeSyntaxError("`value` is missing", hint=f"a transform takes {', '.join(_KEYS)}")
        value_type = parse_type(config.get("type", "string"), fields=config.get("fields"), values=config.get("values"))
        # JSON alone has a null that is a value.
        return ObjectType((FieldType("value", value_type, required=value_type != SCALARS[Kind.JSON]),))

    async def execute(
        self, context: ExecutionContext, config: TransformConfig
    ) -> ExecutionResult[dict[str, NativeValue]]:
        """Fit the rendered value; objects are projected on their declared fields.

        Raises:
            FlowError: CONFIG_INVALID, the value does not fit; the message names the place in it.
        """
        try:
            output = coerce({"value": config.value}, self.output_type(vars(config)))
        except (CoercionError, TypeSyntaxError) as error:
            raise FlowError(Reason.CONFIG_INVALID, f"step `{context.step}`: {error}") from None
        return ExecutionResult(output)
