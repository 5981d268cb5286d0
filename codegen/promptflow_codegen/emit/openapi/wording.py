"""What the flow file says about inputs and results, laid over the schemas that the descriptors give."""

from __future__ import annotations

from collections.abc import Sequence

from promptflow_codegen.emit.openapi.schemas import Schema
from promptflow_core.types import FieldType, object_in

_REF = "#/components/schemas/"


def describe_fields(schema: Schema, fields: Sequence[FieldType], components: dict[str, Schema]) -> None:
    """Add descriptions, defaults and limits of files to the properties of `schema` that `fields` declare."""
    properties: dict[str, Schema] = schema.get("properties", {})
    for field in fields:
        if field.name not in properties:
            continue
        target = properties[field.name]
        words = _words_of(field)
        if words:
            # A sibling of $ref is heard in 3.1, but not by every tool.
            properties[field.name] = {"allOf": [target], **words} if "$ref" in target else {**target, **words}
        inner = object_in(field.type)
        place = _referred(target)
        if inner is not None and place in components:
            describe_fields(components[place], inner.fields, components)


def _words_of(field: FieldType) -> Schema:
    words: Schema = {}
    parts = [field.description] if field.description else []
    if field.constraints.max_bytes is not None:
        parts.append(f"At most {field.constraints.max_bytes} bytes")
    if field.constraints.accept:
        parts.append(f"Media types: {', '.join(field.constraints.accept)}")
    if parts:
        words["description"] = ". ".join(part.rstrip(".") for part in parts)
    if field.default is not None:
        words["default"] = field.default
    return words


def _referred(schema: Schema) -> str:
    extra: Schema | bool = schema.get("additionalProperties", False)
    inner: Schema = schema.get("items") or (schema if isinstance(extra, bool) else extra)
    return str(inner.get("$ref", "")).removeprefix(_REF)
