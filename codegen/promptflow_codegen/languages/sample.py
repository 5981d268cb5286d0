"""An example value of an input in the notation of a language, for a first call that a newcomer can run."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from promptflow_core.types import EnumType, FieldType, Kind, ListType, MapType, ObjectType, ScalarType


@dataclass(frozen=True, slots=True)
class Notation:
    """How a language writes values: scalars that are no numbers, keys, and what stands inside braces around them."""

    scalars: Mapping[Kind, str]
    key: Callable[[str], str]
    padding: str = ""

    def sample(self, field: FieldType) -> str:
        """A value for an input; what it must be like beyond its type and least bounds is the reader's to see."""
        bounds = field.constraints
        match field.type:
            case ScalarType(scalar=Kind.INTEGER | Kind.INT32 | Kind.NUMBER):
                lowest = bounds.min if bounds.min is not None else min(1, bounds.max if bounds.max is not None else 1)
                return repr(lowest).removesuffix(".0")
            case ScalarType(scalar=Kind.STRING) if bounds.values:
                return json.dumps(bounds.values[0])
            case ScalarType(scalar=kind):
                return self.scalars[kind]
            case EnumType(values=values):
                return json.dumps(values[0])
            case ListType(element=element):
                return f"[{self.sample(FieldType(field.name, element))}]"
            case MapType(value=value):
                return self._braced([FieldType("key", value)])
            case ObjectType(fields=fields):
                return self._braced(each for each in fields if each.required)

    def _braced(self, fields: Iterable[FieldType]) -> str:
        entries = ", ".join(f"{self.key(field.name)}: {self.sample(field)}" for field in fields)
        return f"{{{self.padding}{entries}{self.padding}}}" if entries else "{}"
