"""Several named values, each made by a template and fitted to a declared type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from promptflow_core.coercion import CoercionError, coerce
from promptflow_core.errors import FlowError, Reason
from promptflow_core.executor import BaseExecutor, ExecutionContext, ExecutionResult, ExecutorConfig
from promptflow_core.type_syntax import TypeSyntaxError, parse_fields
from promptflow_core.types import ObjectType
from promptflow_core.values import NativeValue


class CombinedField(ExecutorConfig):
    """One field of the output: spelled like a flow input, with the `value` that fills it."""

    name: str
    type: str = "string"
    value: Any = Field(None, description="the value, mostly a template")
    required: bool = Field(False, description="fail where the value is null")
    default: Any = Field(None, description="stands in for a null value")
    description: str = ""
    fields: list[Any] | None = Field(None, description="fields of the `object` in `type`")
    values: list[Any] | None = Field(None, description="values of the `enum` in `type`")


class CombineConfig(ExecutorConfig):
    """The fields of the output, in order."""

    fields: list[CombinedField]


class Combine(BaseExecutor[CombineConfig, dict[str, NativeValue]]):
    """Gather what earlier steps yielded into one object of declared fields."""

    name = "combine"
    Config = CombineConfig

    @classmethod
    def output_type(cls, config: Mapping[str, Any]) -> ObjectType:
        """The declared fields, in their order.

        Raises:
            TypeSyntaxError: a field cannot be read or has no `value`; the path starts at `config`.
        """
        fields = parse_fields(config.get("fields"))
        for index, entry in enumerate(config["fields"]):
            if "value" not in entry:
                raise TypeSyntaxError(
                    f"field `{entry.get('name')}` has no `value`",
                    ("fields", index),
                    hint='write `value: "{{ … }}"`',
                )
        return ObjectType(fields)

    async def execute(
        self, context: ExecutionContext, config: CombineConfig
    ) -> ExecutionResult[dict[str, NativeValue]]:
        """Fit each rendered value; null takes the field's default, or leaves the field out.

        Raises:
            FlowError: CONFIG_INVALID, a value does not fit or a required one is null; the message names the field.
        """
        given = {field.name: field.default if field.value is None else field.value for field in config.fields}
        try:
            output = coerce(given, self.output_type({"fields": [vars(field) for field in config.fields]}))
        except (CoercionError, TypeSyntaxError) as error:
            raise FlowError(Reason.CONFIG_INVALID, f"step `{context.step}`: {error}") from None
        return ExecutionResult(output)
