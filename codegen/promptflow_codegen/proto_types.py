"""How the flow language and proto files spell the same scalar types; all that tells one from the other looks here."""

from __future__ import annotations

from collections.abc import Mapping

from google.protobuf.descriptor_pb2 import FieldDescriptorProto

from promptflow_core.types import Kind

PROTO_TYPES: Mapping[Kind, str] = {
    Kind.STRING: "string",
    Kind.INTEGER: "int64",
    Kind.INT32: "int32",
    Kind.NUMBER: "double",
    Kind.BOOLEAN: "bool",
    Kind.BYTES: "bytes",
    Kind.FILE: ".promptflow_api.v1.File",
    Kind.TIMESTAMP: ".google.protobuf.Timestamp",
    Kind.DURATION: ".google.protobuf.Duration",
    Kind.JSON: ".google.protobuf.Value",
}

KINDS: Mapping[str, Kind] = {spelled: kind for kind, spelled in PROTO_TYPES.items()}
"""The same the other way."""


def kind_of(field: FieldDescriptorProto) -> Kind | None:
    """The scalar kind of a field, of its items where it is a list; None for enums, objects and maps."""
    if field.type in (FieldDescriptorProto.TYPE_MESSAGE, FieldDescriptorProto.TYPE_ENUM):
        return KINDS.get(field.type_name)
    return KINDS.get(FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower())
