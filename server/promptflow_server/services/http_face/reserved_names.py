"""Names that a flow's messages have given up: clients of earlier versions go on sending them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor import Descriptor

from promptflow_server.services.contracts import reserved_of


@dataclass(frozen=True, slots=True)
class ReservedNames:
    """Reserved names of one message, and of those under its fields that have any themselves."""

    names: frozenset[str]
    inside: Mapping[str, ReservedNames]
    is_map: bool = False

    @classmethod
    def of(cls, descriptor: Descriptor) -> ReservedNames:
        """Collect them; only messages of the same file can have changed with the flow."""
        inside: dict[str, ReservedNames] = {}
        for field in descriptor.fields:
            if field.message_type is not None and field.message_type.file.name == descriptor.file.name:
                found = cls.of(field.message_type)
                if found.names or found.inside:
                    inside[field.name] = found
        is_map = descriptor.GetOptions().map_entry
        return cls(frozenset(reserved_of(descriptor).reserved_name), inside, is_map)

    def left_out_of(self, document: Mapping[str, Any]) -> Mapping[str, Any]:
        """The same object without them; what is no object or list where one belongs stays as it is."""
        if not self.names and not self.inside:
            return document
        if self.is_map:
            return {key: _left_out(self.inside["value"], item) for key, item in document.items()}
        return {
            key: _left_out(self.inside[key], item) if key in self.inside else item
            for key, item in document.items()
            if key not in self.names
        }


def _left_out(reserved: ReservedNames, value: Any) -> Any:
    match value:
        case dict():
            return reserved.left_out_of(value)  # pyright: ignore[reportUnknownArgumentType]
        case list():
            return [_left_out(reserved, item) for item in value]  # pyright: ignore[reportUnknownVariableType]
        case _:
            return value
