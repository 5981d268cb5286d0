"""Messages as JSON Schema, by the JSON that the server reads and writes: names as in the proto, enums by name.

What goes in is strict: an unknown field is a mistake. What comes out may grow. Fields without presence are always
written, and so required in answers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from promptflow_codegen.emit.openapi.annotations import Annotations

Schema = dict[str, Any]

ERROR = "Error"
"""The component of google.rpc.Status, which `failures` describes."""

_PART = "(execution_id|status|progress|result|steps|error|metadata)"
_BASE64 = "([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?"
_DURATION = r"^-?[0-9]{1,11}(\.[0-9]{1,9})?s$"
_WELL_KNOWN: Mapping[str, Schema] = {
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.protobuf.Duration": {"type": "string", "pattern": _DURATION, "examples": ["1.5s"]},
    "google.protobuf.Struct": {"type": "object", "additionalProperties": True},
    "google.protobuf.Value": {"description": "Any JSON value; whole numbers up to 2^53"},
    "google.protobuf.FieldMask": {
        "type": "string",
        "pattern": f"^({_PART}(,{_PART})*)?$",
        "description": "Parts of the execution to be answered, separated by commas; paths such as `result.text` too",
        "examples": ["status,result"],
    },
    "google.rpc.Status": {"$ref": f"#/components/schemas/{ERROR}"},
}
_INT64: Schema = {"type": "string", "format": "int64", "pattern": "^-?[0-9]{1,19}$"}
_INT64_GIVEN: Schema = {
    "type": ["integer", "string"],
    "format": "int64",
    "pattern": "^(-?[0-9]{1,18}|-?[1-8][0-9]{18})$",
    "minimum": -(2**63),
    "maximum": 2**63 - 1,
}
FILE = "promptflow_api.v1.File"
_FILE_GIVEN: Schema = {
    "type": "object",
    "description": "A file by its bytes; forms take the file itself",
    "required": ["content"],
    "properties": {
        "content": {"type": "string", "contentEncoding": "base64", "pattern": f"^{_BASE64}$", "minLength": 4},
        "content_type": {"type": ["string", "null"]},
        "name": {"type": ["string", "null"]},
    },
    "additionalProperties": False,
}
_BYTES: Schema = {"type": "string", "contentEncoding": "base64"}
_SAID_BY_THE_SERVER: Mapping[str, Schema] = {
    "promptflow_api.v1.ExecuteOptions.timeout": {"pattern": r"^[1-9][0-9]{0,10}(\.[0-9]{1,9})?s$", "examples": ["30s"]},
}
"""What no annotation of a field says and the server still holds it to."""

_CPP_TYPES: Mapping[int, Schema] = {
    FieldDescriptor.CPPTYPE_INT32: {"type": "integer", "format": "int32", "minimum": -(2**31), "maximum": 2**31 - 1},
    FieldDescriptor.CPPTYPE_UINT32: {"type": "integer", "minimum": 0, "maximum": 2**32 - 1},
    FieldDescriptor.CPPTYPE_INT64: _INT64,
    FieldDescriptor.CPPTYPE_UINT64: _INT64,
    FieldDescriptor.CPPTYPE_DOUBLE: {"type": "number", "format": "double"},
    FieldDescriptor.CPPTYPE_FLOAT: {"type": "number", "format": "float"},
    FieldDescriptor.CPPTYPE_BOOL: {"type": "boolean"},
    FieldDescriptor.CPPTYPE_STRING: {"type": "string"},
}


class Schemas:
    """The schemas of messages, collected under the names that refer to them."""

    def __init__(self, annotations: Annotations, name_of: Callable[[Descriptor], str]) -> None:
        self._annotations = annotations
        self._name_of = name_of
        self.components: dict[str, Schema] = {}

    def given(self, message: Descriptor) -> Schema:
        """A reference to what a caller sends."""
        return self._refer(message, is_given=True)

    def answered(self, message: Descriptor) -> Schema:
        """A reference to what a caller reads."""
        return self._refer(message, is_given=False)

    def of_field(self, field: FieldDescriptor, *, is_given: bool) -> Schema:
        """The schema of one field, its constraints included."""
        rules = self._annotations.rules(field) if is_given else None
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            value = field.message_type.fields_by_name["value"]
            single = self._single(value, rules.map.values if rules else None, is_given=is_given)
            bounds = _bounds(rules.map if rules else None, "min_pairs", "max_pairs", "minProperties", "maxProperties")
            return {"type": "object", "additionalProperties": single, **bounds}
        if field.is_repeated:
            single = self._single(field, rules.repeated.items if rules else None, is_given=is_given)
            bounds = _bounds(rules.repeated if rules else None, "min_items", "max_items", "minItems", "maxItems")
            return _or_empty({"type": "array", "items": single, **bounds}, rules)
        return self._single(field, rules, is_given=is_given)

    def is_required(self, field: FieldDescriptor, *, is_given: bool) -> bool:
        """Whether the field has to be there: by its annotation in what is sent, always written in what is read."""
        if is_given:
            rules = self._annotations.rules(field)
            return rules is not None and bool(rules.required)
        return not field.has_presence

    def _refer(self, message: Descriptor, *, is_given: bool) -> Schema:
        if message.full_name in _WELL_KNOWN:
            return dict(_WELL_KNOWN[message.full_name])
        name = self._name_of(message)
        if is_given and message.full_name == FILE:
            name = "FileContent"
            self.components[name] = _FILE_GIVEN
        if name not in self.components:
            self.components[name] = {}
            self.components[name] = self._message(message, is_given=is_given)
        return {"$ref": f"#/components/schemas/{name}"}

    def _message(self, message: Descriptor, *, is_given: bool) -> Schema:
        properties = {field.name: self._property(field, is_given=is_given) for field in message.fields}
        required = [field.name for field in message.fields if self.is_required(field, is_given=is_given)]
        schema: Schema = {"type": "object", "properties": properties}
        if required:
            schema["required"] = required
        if is_given:
            schema["additionalProperties"] = False
        else:
            schema |= _exactly_one(message)
        return schema

    def _property(self, field: FieldDescriptor, *, is_given: bool) -> Schema:
        schema = self.of_field(field, is_given=is_given) | _SAID_BY_THE_SERVER.get(field.full_name, {})
        if is_given and not self.is_required(field, is_given=True):
            return _or_null(schema)
        return schema

    def _single(self, field: FieldDescriptor, rules: Any | None, *, is_given: bool) -> Schema:
        if field.message_type is not None:
            return self._refer(field.message_type, is_given=is_given)
        if field.enum_type is not None:
            return {"type": "string", "enum": list(_values(field.enum_type, is_given=is_given))}
        if field.type == FieldDescriptor.TYPE_BYTES:
            return {**_BYTES, "pattern": f"^{_BASE64}$", **_encoded_length(rules)} if is_given else dict(_BYTES)
        if field.cpp_type == FieldDescriptor.CPPTYPE_INT64 and is_given:
            bounds = _range(rules.int64 if rules else None)
            # Text has no bounds, so where there are some it is not said that text is taken too.
            return {**_INT64_GIVEN, "type": "integer", **bounds} if bounds else dict(_INT64_GIVEN)
        schema = dict(_CPP_TYPES[field.cpp_type])
        if rules is None:
            return schema
        kind = rules.WhichOneof("type")
        return schema | (_text(rules.string) if kind == "string" else _range(getattr(rules, kind) if kind else None))


def _values(enum: EnumDescriptor, *, is_given: bool) -> Iterator[str]:
    for value in enum.values:
        if value.number or not is_given:
            yield value.name


def _exactly_one(message: Descriptor) -> Schema:
    """Of the arms of a oneof, one is there."""
    arms = [[field.name for field in oneof.fields] for oneof in message.oneofs if not _is_synthetic(oneof)]
    if not arms or message.full_name == FILE:
        return {}
    return {"oneOf": [{"required": [name]} for name in arms[0]]}


def _is_synthetic(oneof: Any) -> bool:
    return len(oneof.fields) == 1 and oneof.name == f"_{oneof.fields[0].name}"


def _bounds(rules: Any | None, low: str, high: str, lowest: str, highest: str) -> Schema:
    schema: Schema = {}
    if rules is not None and rules.HasField(low):
        schema[lowest] = getattr(rules, low)
    if rules is not None and rules.HasField(high):
        schema[highest] = getattr(rules, high)
    return schema


def _or_empty(schema: Schema, rules: Any | None) -> Schema:
    """An optional list may be empty whatever its least length: an empty list is an absent one."""
    least = schema.pop("minItems", None)
    if rules is not None and rules.required:
        return {**schema, "minItems": max(1, least or 1)}
    if least is None:
        return schema
    return {**schema, "anyOf": [{"maxItems": 0}, {"minItems": least}]}


def _or_null(schema: Schema) -> Schema:
    """In JSON null is as good as absent."""
    if "$ref" in schema:
        return {"anyOf": [schema, {"type": "null"}]}
    if "type" not in schema:
        return schema
    kind: str | list[str] = schema["type"]
    nullable = {**schema, "type": [kind, "null"] if isinstance(kind, str) else [*kind, "null"]}
    return {**nullable, "enum": [*schema["enum"], None]} if "enum" in schema else nullable


def _range(rules: Any | None) -> Schema:
    schema: Schema = {}
    if rules is not None and rules.HasField("gte"):
        schema["minimum"] = rules.gte
    if rules is not None and rules.HasField("lte"):
        schema["maximum"] = rules.lte
    return schema


def _text(rules: Any) -> Schema:
    schema = _bounds(rules, "min_len", "max_len", "minLength", "maxLength")
    if rules.HasField("pattern"):
        schema["pattern"] = rules.pattern
    values = list(getattr(rules, "in"))
    if values:
        schema["enum"] = values
    if rules.HasField("max_bytes"):
        schema["description"] = f"At most {rules.max_bytes} bytes of UTF-8"
    return schema


def _encoded_length(rules: Any | None) -> Schema:
    """Bounds in bytes as bounds on base64 text."""
    if rules is None:
        return {}
    schema = _bounds(rules.bytes, "min_len", "max_len", "minLength", "maxLength")
    return {key: -(-bound * 4 // 3) + (4 if key == "maxLength" else 0) for key, bound in schema.items()}
