"""The JSON Schema of flow files, by which editors complete, explain and underline."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from promptflow_codegen.naming import RESERVED_FLOWS, RESERVED_INPUTS, RESERVED_STEPS
from promptflow_codegen.plan import FlowPlan, FlowRef
from promptflow_core.executor import Catalog
from promptflow_core.type_syntax import FIELD_NAME
from promptflow_core.types import EnumType, FieldType, Kind, ListType, MapType, ObjectType, ScalarType, ValueType

Schema = Mapping[str, Any]

_TEMPLATE: Schema = {"type": "string", "pattern": r"\{[{%]"}
_TEXT: Schema = {"type": "string"}
_DURATION: Schema = {"type": "string", "pattern": r"^\d+(\.\d+)?(ms|s|m|h|d)$", "examples": ["250ms", "30s", "2m"]}
_SCALARS: Mapping[Kind, Schema] = {
    Kind.STRING: _TEXT,
    Kind.INTEGER: {"type": "integer"},
    Kind.INT32: {"type": "integer"},
    Kind.NUMBER: {"type": "number"},
    Kind.BOOLEAN: {"type": "boolean"},
    Kind.DURATION: _DURATION,
    Kind.TIMESTAMP: {"type": "string", "format": "date-time"},
    Kind.FILE: _TEMPLATE,
    Kind.BYTES: _TEMPLATE,
}
_TYPE_NAMES = (*(str(kind) for kind in Kind), "enum", "object")


_DECLARED: Mapping[str, Schema] = {
    "type": {"$ref": "#/$defs/type"},
    "fields": {"type": "array", "items": {"$ref": "#/$defs/field"}},
    "values": {"type": "array", "items": _TEXT},
}
_COMBINED: Mapping[str, Schema] = {
    **_DECLARED,
    "name": {"type": "string", "pattern": f"^{FIELD_NAME.pattern}$"},
    "value": {},
    "required": {"type": "boolean"},
    "default": {},
    "description": _TEXT,
}
_TYPED: Mapping[str, Mapping[str, Schema]] = {
    "transform": _DECLARED,
    "combine": {
        "fields": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "properties": _COMBINED,
                "required": ["name", "value"],
            },
        }
    },
}
"""Executors whose config declares types, and the keys that do."""


def emit_schema(catalog: Catalog, flows: Iterable[FlowPlan] = ()) -> str:
    """Render the schema; it has the config of each executor, and the inputs of each flow that a step may run."""
    called = {str(FlowRef(flow.name, flow.version)): flow for flow in flows}
    return json.dumps(_flow(catalog, called), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _flow(catalog: Catalog, called: Mapping[str, FlowPlan]) -> Schema:
    properties: dict[str, Schema] = {
        "name": _name("Name of the flow: its package, its paths", RESERVED_FLOWS),
        "version": {"type": "integer", "minimum": 1, "default": 1, "description": "Major version of the API"},
        "description": _text("What the flow does, in a sentence"),
        "labels": {"type": "object", "additionalProperties": _TEXT, "description": "Labels of every run"},
        "inputs": {"type": "array", "items": {"$ref": "#/$defs/input"}, "description": "What a caller sends"},
        "steps": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/step"}, "description": "What runs"},
        "outputs": _outputs(),
        "order": {"enum": ["sequential"], "description": "Run the steps as listed, one at a time"},
        "timeout": {**_DURATION, "description": "Longest time of a whole run"},
    }
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "PromptFlow flow",
        "$defs": {
            "field": _field(()),
            "input": _field(RESERVED_INPUTS),
            "step": _step(catalog, called),
            "type": _type(),
        },
        **_object(properties, ("name", "steps")),
    }


def _step(catalog: Catalog, called: Mapping[str, FlowPlan]) -> Schema:
    properties: dict[str, Schema] = {
        "name": _name("Name of the step; others read it as `steps.<name>`", RESERVED_STEPS),
        "executor": {
            "anyOf": [{"const": name, "description": catalog[name].description} for name in sorted(catalog)],
            "description": "What runs the step",
        },
        "flow": {
            "anyOf": [
                *({"const": ref, "description": called[ref].description or ref} for ref in sorted(called)),
                {"type": "string", "pattern": f"^{FIELD_NAME.pattern}(@[1-9][0-9]{{0,3}})?$"},
            ],
            "description": "Another flow of the project that runs as this step; `name@2` is its version 2",
        },
        "config": {"type": "object", "description": "What the executor, or the inputs of the flow, are given"},
        "needs": {"type": "array", "items": _TEXT, "description": "Steps to wait for beside those that are read"},
        "condition": {**_TEMPLATE, "description": "The step is skipped where this is false"},
        "for_each": {**_TEMPLATE, "description": "A list; the step runs once for each of its items"},
        "as": _name("Name of the current item in templates; `item` by default", ()),
        "max_parallel": {"type": "integer", "minimum": 1, "description": "Items that run at the same time, at most"},
        "retry": _retry(),
        "timeout": {**_DURATION, "description": "Longest time of one attempt"},
        "description": _text("What the step is for"),
    }
    cases = [_case("executor", name, catalog[name].config, catalog[name].description) for name in sorted(catalog)]
    cases += [_case("flow", ref, called[ref].inputs, called[ref].description) for ref in sorted(called)]
    return {
        **_object(properties, ("name",)),
        "oneOf": [{"required": ["executor"]}, {"required": ["flow"]}],
        "dependencies": {"as": ["for_each"], "max_parallel": ["for_each"]},
        "allOf": cases,
    }


def _declaring(field: Schema, declared: Schema | None) -> Schema:
    """A field of a config by which it declares a type."""
    return field if declared is None else {**{key: field[key] for key in field if key != "anyOf"}, **declared}


def _case(key: str, name: str, config: ObjectType, description: str) -> Schema:
    filled: dict[str, Any] = {**_fields(config), "description": description}
    declared: Mapping[str, Schema] = _TYPED.get(name, {}) if key == "executor" else {}
    filled["properties"] = {
        name: _declaring(schema, declared.get(name)) for name, schema in filled["properties"].items()
    }
    then: dict[str, Any] = {"properties": {"config": filled}}
    if "required" in filled:
        then["required"] = ["config"]
    return {"if": {"properties": {key: {"const": name}}, "required": [key]}, "then": then}


def _retry() -> Schema:
    properties: dict[str, Schema] = {
        "max_attempts": {"type": "integer", "minimum": 1, "maximum": 100, "default": 3},
        "initial": {**_DURATION, "default": "200ms"},
        "max": {**_DURATION, "default": "30s"},
        "multiplier": {"type": "number", "minimum": 1, "maximum": 100, "default": 2},
    }
    return {**_object(properties), "description": "Try again after errors that may pass"}


def _outputs() -> Schema:
    typed: dict[str, Schema] = {
        "type": {"$ref": "#/$defs/type"},
        "value": {},
        "fields": {"type": "array", "items": {"$ref": "#/$defs/field"}},
        "values": {"type": "array", "items": _TEXT},
        "description": _text("What the field holds"),
        "deprecated": {"type": "boolean", "default": False, "description": "Callers are told to leave it"},
    }
    value: Schema = {"anyOf": [_object(typed, ("value",)), {"type": ["string", "number", "boolean"]}]}
    return {
        "type": "object",
        "minProperties": 1,
        "additionalProperties": value,
        "propertyNames": {"pattern": f"^{FIELD_NAME.pattern}$"},
        "description": "The result; without it, the output of every step",
    }


def _field(reserved: Iterable[str]) -> Schema:
    properties: dict[str, Schema] = {
        "name": _name("Name of the field", reserved),
        "type": {"$ref": "#/$defs/type"},
        "required": {"type": "boolean", "default": False, "description": "Whether a caller has to send it"},
        "default": {"description": "Applies where the caller sends nothing"},
        "description": _text("What the field holds"),
        "deprecated": {"type": "boolean", "default": False, "description": "Callers are told to leave it"},
        "fields": {"type": "array", "items": {"$ref": "#/$defs/field"}, "description": "Fields of `object`"},
        "values": {"type": "array", "items": _TEXT, "description": "Values of `enum`, or those that a string may have"},
        "format": {"enum": ["int32"], "description": "An `integer` of 32 bits, a number in JSON and TypeScript"},
        **_limits(),
        "items": {**_object({**_limits(), "values": {"type": "array", "items": _TEXT}})},
    }
    properties["items"] = {**properties["items"], "description": "What holds for each item of a list or map"}
    return {**_object(properties, ("name",)), "allOf": [_kind("object", "fields"), _kind("enum", "values")]}


def _kind(kind: str, needed: str) -> Schema:
    """A type, or a list or map of it, that needs a key."""
    is_given: Schema = {"properties": {"type": {"pattern": rf"(^|<){kind}(\[\]|>)?$"}}, "required": ["type"]}
    return {"if": is_given, "then": {"required": [needed]}}


def _limits() -> dict[str, Schema]:
    length: Schema = {"type": "integer", "minimum": 0}
    return {
        "min": {"type": "number", "description": "Smallest number"},
        "max": {"type": "number", "description": "Largest number"},
        "min_length": {**length, "description": "Fewest characters, bytes of `bytes`, or items of a list or map"},
        "max_length": {**length, "description": "Most characters, bytes of `bytes`, or items of a list or map"},
        "max_bytes": {**length, "description": "Most bytes of a text, of `bytes` or of a file"},
        "pattern": {"type": "string", "format": "regex", "description": "RE2 expression that a text matches somewhere"},
        "accept": {
            "type": "array",
            "minItems": 1,
            "items": {"type": "string", "pattern": "^[^/]+/[^/]+$", "examples": ["image/png", "image/*"]},
            "description": "Media types of a file that says its type",
        },
    }


def _type() -> Schema:
    names = "|".join(_TYPE_NAMES)
    return {
        "anyOf": [{"enum": list(_TYPE_NAMES)}, {"pattern": rf"^(({names})\[\]|map<({names})>)$", "type": "string"}],
        "default": "string",
        "description": "A type, a list of one (`string[]`) or a map to one (`map<number>`)",
    }


def _fields(value_type: ObjectType) -> Schema:
    required = [field.name for field in value_type.fields if field.required]
    return _object({field.name: _config_field(field) for field in value_type.fields}, required)


def _config_field(field: FieldType) -> Schema:
    schema: dict[str, Any] = {"anyOf": [_value(field.type), _TEMPLATE]}
    if field.description:
        schema["description"] = field.description
    if field.default is not None:
        schema["default"] = field.default
    return schema


def _value(value_type: ValueType) -> Schema:
    match value_type:
        case ScalarType(scalar=kind):
            return _SCALARS.get(kind, {})
        case EnumType(values=values):
            return {"enum": list(values)}
        case ListType(element=element):
            return {"type": "array", "items": {"anyOf": [_value(element), _TEMPLATE]}}
        case MapType(value=inner):
            return {"type": "object", "additionalProperties": {"anyOf": [_value(inner), _TEMPLATE]}}
        case ObjectType():
            return _fields(value_type)


def _object(properties: Mapping[str, Schema], required: Iterable[str] = ()) -> Schema:
    schema = {"type": "object", "additionalProperties": False, "properties": properties}
    names = sorted(required)
    return {**schema, "required": names} if names else schema


def _name(description: str, reserved: Iterable[str]) -> Schema:
    schema: dict[str, Any] = {"type": "string", "pattern": f"^{FIELD_NAME.pattern}$", "description": description}
    names = sorted(reserved)
    return {**schema, "not": {"enum": names}} if names else schema


def _text(description: str) -> Schema:
    return {"type": "string", "description": description}
