"""Python values into the fields of a request, driven by its descriptor; every mistake is told at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from promptflow_client.errors import InvalidArgumentError, Reason, Violation
from promptflow_client.files import FileSource, is_file_source, load_file
from promptflow_client.json_values import JsonError, encode_json

_INTEGERS: Mapping[int, range] = {
    FieldDescriptor.CPPTYPE_INT32: range(-(2**31), 2**31),
    FieldDescriptor.CPPTYPE_INT64: range(-(2**63), 2**63),
}
_MAX_DURATION = timedelta(seconds=315_576_000_000)
_SPELLINGS: Mapping[int, str] = {
    FieldDescriptor.CPPTYPE_INT32: "int",
    FieldDescriptor.CPPTYPE_INT64: "int",
    FieldDescriptor.CPPTYPE_DOUBLE: "float",
    FieldDescriptor.CPPTYPE_BOOL: "bool",
    FieldDescriptor.CPPTYPE_STRING: "str",
}


async def encode_inputs(inputs: Mapping[str, Any], request: Any) -> None:
    """Set the inputs of a request; None is absent. Files are read here.

    Raises:
        InvalidArgumentError: values do not fit; `violations` has every one of them.
        OSError: a file cannot be read.
    """
    encoder = _Encoder()
    encoder.encode_fields(inputs, request, "")
    if encoder.violations:
        count = len(encoder.violations)
        message = "an input does not fit" if count == 1 else f"{count} inputs do not fit"
        raise InvalidArgumentError(message, reason=Reason.INVALID_INPUT, violations=tuple(encoder.violations))
    for target, source in encoder.files:
        file = await load_file(source)
        for name in ("content", "file_id", "uri"):
            if getattr(file, name) is not None:
                setattr(target, name, getattr(file, name))
        target.content_type, target.name = file.content_type, file.name


class _MisfitError(Exception):
    """A value that its field cannot hold."""


class _Encoder:
    """One walk over the inputs; collects what is wrong and which files are to be read."""

    def __init__(self) -> None:
        self.violations: list[Violation] = []
        self.files: list[tuple[Any, FileSource]] = []

    def encode_fields(self, values: Mapping[str, Any], message: Any, path: str) -> None:
        descriptor: Descriptor = message.DESCRIPTOR
        for name, value in values.items():
            inside = f"{path}.{name}" if path else name
            field = descriptor.fields_by_name.get(name)
            if field is None:
                self._refuse(inside, f"there is no such field; there are {', '.join(descriptor.fields_by_name)}")
            elif value is not None:
                self._encode_field(field, value, message, inside)

    def _encode_field(self, field: FieldDescriptor, value: Any, message: Any, path: str) -> None:
        if is_map(field):
            self._encode_map(field, value, getattr(message, field.name), path)
        elif field.is_repeated:
            self._encode_list(field, value, getattr(message, field.name), path)
        elif field.message_type is not None:
            target = getattr(message, field.name)
            target.SetInParent()
            self._encode_message(field.message_type, value, target, path)
        else:
            with self._at(path):
                setattr(message, field.name, _scalar(field, value))

    def _encode_list(self, field: FieldDescriptor, value: Any, target: Any, path: str) -> None:
        if not _is_list(value):
            self._refuse(path, f"{_shown(value)} is no list")
            return
        for index, item in enumerate(value):
            inside = f"{path}[{index}]"
            with self._at(inside):
                if field.message_type is not None:
                    self._encode_message(field.message_type, item, target.add(), inside)
                else:
                    target.append(_scalar(field, item))

    def _encode_map(self, field: FieldDescriptor, value: Any, target: Any, path: str) -> None:
        if not isinstance(value, Mapping):
            self._refuse(path, f"{_shown(value)} is no mapping")
            return
        inner = map_value(field)
        entries: Mapping[Any, Any] = value  # pyright: ignore[reportUnknownVariableType]
        for key, item in entries.items():
            inside = f"{path}[{key}]"
            with self._at(inside):
                if not isinstance(key, str):
                    raise _MisfitError(f"the key {_shown(key)} is no str")
                if inner.message_type is not None:
                    self._encode_message(inner.message_type, item, target[key], inside)
                else:
                    target[key] = _scalar(inner, item)

    def _encode_message(self, descriptor: Descriptor, value: Any, target: Any, path: str) -> None:
        match descriptor.full_name, value:
            case "google.protobuf.Value", _:
                with self._at(path):
                    encode_json(value, target, path)
            case "google.protobuf.Timestamp", datetime():
                with self._at(path):
                    target.FromDatetime(_aware(value))
            case "google.protobuf.Duration", timedelta():
                with self._at(path):
                    target.FromTimedelta(_in_range(value))
            case "promptflow_api.v1.File", _ if is_file_source(value):
                self.files.append((target, value))
            case "google.protobuf.Timestamp" | "google.protobuf.Duration" | "promptflow_api.v1.File" as name, _:
                self._refuse(path, f"{_shown(value)} is no {_EXPECTED[name]}")
            case _:
                self._encode_object(value, target, path)

    def _encode_object(self, value: Any, target: Any, path: str) -> None:
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            known = target.DESCRIPTOR.fields_by_name
            names = (field.name for field in dataclasses.fields(value))
            self.encode_fields({wire_name(name, known): getattr(value, name) for name in names}, target, path)
        elif isinstance(value, Mapping):
            self.encode_fields(value, target, path)  # pyright: ignore[reportUnknownArgumentType]
        else:
            self._refuse(path, f"{_shown(value)} is no object")

    @contextmanager
    def _at(self, path: str) -> Generator[None]:
        try:
            yield
        except JsonError as error:
            self._refuse(error.path, error.message)
        except (_MisfitError, ValueError, OverflowError) as error:
            self._refuse(path, str(error))

    def _refuse(self, path: str, description: str) -> None:
        self.violations.append(Violation(path, description))


_EXPECTED: Mapping[str, str] = {
    "google.protobuf.Timestamp": "datetime",
    "google.protobuf.Duration": "timedelta",
    "promptflow_api.v1.File": "path, bytes, open file or File",
}


def is_map(field: FieldDescriptor) -> bool:
    """Whether a field is a map and not a list of messages."""
    return field.is_repeated and field.message_type is not None and field.message_type.GetOptions().map_entry


def map_value(field: FieldDescriptor) -> FieldDescriptor:
    """The field of a map's values."""
    assert field.message_type is not None
    return field.message_type.fields_by_name["value"]


def wire_name(attribute: str, known: Mapping[str, Any]) -> str:
    """The field that a Python attribute stands for: names that Python reserves end in `_` there."""
    return attribute if attribute in known else attribute.removesuffix("_")


def _scalar(field: FieldDescriptor, value: Any) -> Any:
    if field.enum_type is not None:
        return _enum_number(field, value)
    match field.cpp_type, value:
        case FieldDescriptor.CPPTYPE_STRING, bytes() | bytearray() | memoryview() if _is_bytes(field):
            return bytes(value)  # pyright: ignore[reportUnknownArgumentType]
        case FieldDescriptor.CPPTYPE_STRING, str() if not _is_bytes(field):
            return value
        case FieldDescriptor.CPPTYPE_BOOL, bool():
            return value
        case (FieldDescriptor.CPPTYPE_INT32 | FieldDescriptor.CPPTYPE_INT64) as kind, int() if _is_number(value):
            if value not in _INTEGERS[kind]:
                raise _MisfitError(f"{value} is out of range")
            return value
        case FieldDescriptor.CPPTYPE_DOUBLE, int() | float() if _is_number(value):
            return float(value)
        case kind, _:
            raise _MisfitError(f"{_shown(value)} is no {'bytes' if _is_bytes(field) else _SPELLINGS[kind]}")


def _enum_number(field: FieldDescriptor, value: Any) -> int:
    assert field.enum_type is not None
    known = {entry.name: entry.number for entry in field.enum_type.values if entry.number}
    if not isinstance(value, str) or value not in known:
        raise _MisfitError(f"{_shown(value)} is none of {', '.join(known)}")
    return known[value]


def _aware(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise _MisfitError("a datetime without a time zone names no moment; add one, such as `tzinfo=UTC`")
    return moment.astimezone(UTC)


def _in_range(duration: timedelta) -> timedelta:
    if abs(duration) > _MAX_DURATION:
        raise _MisfitError(f"{duration} is out of range; a duration is at most 10,000 years")
    return duration


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray | memoryview)


def _is_bytes(field: FieldDescriptor) -> bool:
    return field.type == FieldDescriptor.TYPE_BYTES


def _is_number(value: object) -> bool:
    return not isinstance(value, bool)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"
