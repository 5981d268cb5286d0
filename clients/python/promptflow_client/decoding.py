"""Messages into the dataclasses of a generated client: each field by its name, its kind by its descriptor.

A field that is absent is None where its annotation allows that, else the empty value of its kind: so it stays usable
where a newer server leaves out what this client thinks is always there.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable, Mapping
from datetime import UTC
from typing import Any, TypeVar

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from promptflow_client.encoding import is_map, map_value, wire_name
from promptflow_client.files import File
from promptflow_client.json_values import decode_json

T = TypeVar("T")
Read = Callable[[Any], Any]


class Decoder:
    """Reads messages as dataclasses; what it found out about a class it keeps."""

    def __init__(self) -> None:
        self._readers: dict[type, Mapping[str, Read]] = {}

    def decode(self, message: Any, cls: type[T]) -> T:
        """The message as an instance of `cls`.

        Raises:
            TypeError: `cls` has a field that the message lacks: the two were not generated together.
        """
        readers = self._readers.get(cls)
        if readers is None:
            readers = self._readers[cls] = self._readers_of(cls, message.DESCRIPTOR)
        return cls(**{name: read(message) for name, read in readers.items()})

    def _readers_of(self, cls: type, descriptor: Descriptor) -> Mapping[str, Read]:
        hints = typing.get_type_hints(cls)
        return {
            field.name: self._reader(_field_of(descriptor, field.name, cls), hints[field.name])
            for field in dataclasses.fields(cls)
        }

    def _reader(self, field: FieldDescriptor, hint: Any) -> Read:
        name = field.name
        if is_map(field):
            read_value = self._value_reader(map_value(field), hint)
            return lambda message: {key: read_value(value) for key, value in getattr(message, name).items()}
        read = self._value_reader(field, hint)
        if field.is_repeated:
            return lambda message: tuple([read(item) for item in getattr(message, name)])
        if field.has_presence and _allows_none(hint):
            return lambda message: read(getattr(message, name)) if message.HasField(name) else None
        return lambda message: read(getattr(message, name))

    def _value_reader(self, field: FieldDescriptor, hint: Any) -> Read:
        if field.enum_type is not None:
            names = {value.number: value.name for value in field.enum_type.values if value.number}
            # A value younger than this client reads as its number.
            return lambda number: names.get(number) or (str(number) if number else None)
        if field.message_type is None:
            return _as_it_is
        well_known = _WELL_KNOWN.get(field.message_type.full_name)
        if well_known is not None:
            return well_known
        cls = _dataclass_in(hint)
        if cls is None:
            raise TypeError(f"{hint!r} holds no class for {field.message_type.full_name}; {_REGENERATE}")

        def read_object(message: Any) -> Any:
            return self.decode(message, cls)

        return read_object


_REGENERATE = "client and messages do not belong together: run `promptflow generate`"


def _field_of(descriptor: Descriptor, attribute: str, cls: type) -> FieldDescriptor:
    field = descriptor.fields_by_name.get(wire_name(attribute, descriptor.fields_by_name))
    if field is None:
        raise TypeError(f"{cls.__name__}.{attribute} is no field of {descriptor.full_name}; {_REGENERATE}")
    return field


def _dataclass_in(hint: Any) -> type[Any] | None:
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return hint
    return next(filter(None, map(_dataclass_in, typing.get_args(hint))), None)


def _allows_none(hint: Any) -> bool:
    return typing.get_origin(hint) in (typing.Union, types.UnionType) and type(None) in typing.get_args(hint)


def _as_it_is(value: Any) -> Any:
    return value


def decode_file(message: Any) -> File:
    """A promptflow_api.v1.File."""
    source = message.WhichOneof("source")
    given = {source: getattr(message, source)} if source else {}
    return File(**given, content_type=message.content_type, name=message.name)


def decode_time(message: Any) -> Any:
    """A timestamp as an aware datetime in UTC."""
    return message.ToDatetime(UTC)


def decode_duration(message: Any) -> Any:
    """A duration as a timedelta."""
    return message.ToTimedelta()


_WELL_KNOWN: Mapping[str, Read] = {
    "google.protobuf.Timestamp": decode_time,
    "google.protobuf.Duration": decode_duration,
    "google.protobuf.Value": decode_json,
    "promptflow_api.v1.File": decode_file,
}
