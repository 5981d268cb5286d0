"""Messages as native values and back, driven by descriptors alone.

Absence and None are one thing outside `json`: what is not set is left out, what is None is not set. An enum is the
name of its value; a file that carries its bytes is an `Upload` until the file store has it, then a `FileRef`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from promptflow_core.coercion import MAX_DURATION, CoercionError
from promptflow_core.values import FileRef, NativeValue
from promptflow_server.services.contracts import Message
from promptflow_server.services.json_values import decode_json, encode_json


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that came inside a request; empty `content` also stands for a file without any source."""

    content: bytes
    content_type: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file that lies elsewhere."""

    uri: str
    content_type: str = ""
    name: str = ""


def decode_message(message: Message, path: str = "") -> dict[str, NativeValue]:
    """The fields of a message that are set, by name.

    Raises:
        CoercionError: a value has no native form: a timestamp out of range, NaN in `json`, nesting without end.
    """
    fields: list[tuple[FieldDescriptor, Any]] = message.ListFields()
    return {field.name: _decode_field(field, value, _inside(path, field.name)) for field, value in fields}


def decode_field(message: Message, name: str) -> NativeValue:
    """One field of a message that is set.

    Raises:
        CoercionError: as `decode_message`.
    """
    return _decode_field(message.DESCRIPTOR.fields_by_name[name], getattr(message, name), name)


def encode_message(values: Mapping[str, NativeValue], message: Message, path: str = "") -> None:
    """Set the fields of `message` from native values; names that it does not have are left out.

    Raises:
        CoercionError: a value does not fit its field.
    """
    fields: Mapping[str, FieldDescriptor] = message.DESCRIPTOR.fields_by_name
    for name, value in values.items():
        field = fields.get(name)
        if field is not None and (value is not None or _is_json(field)):
            _encode_field(field, value, message, _inside(path, name))


def _decode_field(field: FieldDescriptor, value: Any, path: str) -> NativeValue:
    if _is_map(field):
        inner = _map_value(field)
        return {key: _decode_one(inner, item, f"{path}[{key}]") for key, item in value.items()}
    if field.is_repeated:
        return [_decode_one(field, item, f"{path}[{index}]") for index, item in enumerate(value)]
    return _decode_one(field, value, path)


def _decode_one(field: FieldDescriptor, value: Any, path: str) -> NativeValue:
    if field.enum_type is not None:
        known = field.enum_type.values_by_number.get(value)
        return known.name if known is not None else str(value)
    if field.message_type is None:
        return value
    match field.message_type.full_name:
        case "google.protobuf.Timestamp":
            return _decode_time(value, path)
        case "google.protobuf.Duration":
            return _decode_duration(value, path)
        case "google.protobuf.Value":
            return decode_json(value, path)
        case "promptflow_api.v1.File":
            return _decode_file(value)
        case _:
            return decode_message(value, path)


def _encode_field(field: FieldDescriptor, value: NativeValue, message: Message, path: str) -> None:
    try:
        if _is_map(field):
            _encode_map(field, value, getattr(message, field.name), path)
        elif field.is_repeated:
            _encode_list(field, value, getattr(message, field.name), path)
        elif field.message_type is not None:
            target = getattr(message, field.name)
            target.SetInParent()
            _encode_submessage(field, value, target, path)
        else:
            setattr(message, field.name, _encode_scalar(field, value, path))
    except CoercionError:
        raise
    except (TypeError, ValueError, OverflowError) as error:
        raise CoercionError(str(error), path) from error


def _encode_map(field: FieldDescriptor, value: NativeValue, target: Any, path: str) -> None:
    if not isinstance(value, Mapping):
        raise CoercionError(f"{type(value).__name__} is no map", path)
    entries: Mapping[str, NativeValue] = value  # pyright: ignore[reportUnknownVariableType]
    inner = _map_value(field)
    for key, item in entries.items():
        if inner.message_type is not None:
            _encode_submessage(inner, item, target[key], f"{path}[{key}]")
        else:
            target[key] = _encode_scalar(inner, item, f"{path}[{key}]")


def _encode_list(field: FieldDescriptor, value: NativeValue, target: Any, path: str) -> None:
    if not isinstance(value, list | tuple):
        raise CoercionError(f"{type(value).__name__} is no list", path)
    items: list[NativeValue] = list(value)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    if field.message_type is None:
        target.extend(_encode_scalar(field, item, path) for item in items)
        return
    for index, item in enumerate(items):
        _encode_submessage(field, item, target.add(), f"{path}[{index}]")


def _encode_submessage(field: FieldDescriptor, value: NativeValue, target: Message, path: str) -> None:
    assert field.message_type is not None
    match field.message_type.full_name, value:
        case "google.protobuf.Value", _:
            encode_json(value, target, path)
        case "google.protobuf.Timestamp", datetime():
            target.FromDatetime(value.astimezone(UTC))
        case "google.protobuf.Duration", timedelta():
            target.FromTimedelta(value)
        case "promptflow_api.v1.File", Upload() | FileRef() | RemoteFile():
            _encode_file(value, target)
        case _, Mapping():
            encode_message(value, target, path)  # pyright: ignore[reportUnknownArgumentType]
        case name, _:
            raise CoercionError(f"{type(value).__name__} is no {name}", path)


def _encode_scalar(field: FieldDescriptor, value: NativeValue, path: str) -> Any:
    if field.enum_type is None:
        return value
    known = field.enum_type.values_by_name.get(value)
    if known is None:
        raise CoercionError(f"{value!r} is no {field.enum_type.full_name}", path)
    return known.number


def _decode_time(value: Message, path: str) -> datetime:
    try:
        moment: datetime = value.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise CoercionError(str(error), path) from None
    return moment


def _decode_duration(value: Message, path: str) -> timedelta:
    try:
        span: timedelta = value.ToTimedelta()
    except (ValueError, OverflowError) as error:
        raise CoercionError(str(error), path) from None
    if abs(span) > MAX_DURATION:
        raise CoercionError("must be at most ten thousand years", path)
    return span


def _decode_file(value: Message) -> Upload | FileRef | RemoteFile:
    match value.WhichOneof("source"):
        case "file_id":
            return FileRef(value.file_id, value.content_type, value.name)
        case "uri":
            return RemoteFile(value.uri, value.content_type, value.name)
        case _:
            return Upload(value.content, value.content_type, value.name)


def _encode_file(file: Upload | FileRef | RemoteFile, target: Message) -> None:
    match file:
        case Upload():
            target.content = file.content
        case FileRef():
            target.file_id = file.file_id
        case RemoteFile():
            target.uri = file.uri
    target.content_type, target.name = file.content_type, file.name


def _is_map(field: FieldDescriptor) -> bool:
    return field.is_repeated and field.message_type is not None and field.message_type.GetOptions().map_entry


def _map_value(field: FieldDescriptor) -> FieldDescriptor:
    assert field.message_type is not None
    return field.message_type.fields_by_name["value"]


def _is_json(field: FieldDescriptor) -> bool:
    return (
        not field.is_repeated
        and field.message_type is not None
        and field.message_type.full_name == "google.protobuf.Value"
    )


def _inside(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
