"""Whether a value of one type can be used where another is asked for."""

from __future__ import annotations

from dataclasses import dataclass

from promptflow_core.coercion import NOT_JSON
from promptflow_core.types import EnumType, Kind, ListType, MapType, ObjectType, ScalarType, ValueType

_NUMBERS = frozenset({Kind.INTEGER, Kind.INT32, Kind.NUMBER})
_TEXTS = frozenset({Kind.STRING, Kind.TIMESTAMP, Kind.DURATION})


@dataclass(frozen=True, slots=True)
class NoJson:
    """A value that no json can hold: where it is, "" for the whole, its kind, and what to write."""

    path: str
    kind: Kind
    hint: str

    def what(self, whole: str) -> str:
        """What the value is, said to people; `whole` is what it is in."""
        return f"`{self.path}` of {whole} is {self.kind}" if self.path else f"{whole} is {self.kind}"


def in_json(given: ValueType, path: str = "") -> NoJson | None:
    """The first part of a value that no json can hold, if there is one."""
    match given:
        case ScalarType(scalar=kind) if kind in NOT_JSON:
            return NoJson(path, kind, NOT_JSON[kind])
        case ListType(element=inner):
            return in_json(inner, f"{path}[0]")
        case MapType(value=inner):
            return in_json(inner, f"{path}[…]")
        case ObjectType(fields=fields):
            found = (in_json(field.type, f"{path}.{field.name}" if path else field.name) for field in fields)
            return next(filter(None, found), None)
        case _:
            return None


def strange_values(given: ValueType, wanted: ValueType) -> tuple[str, ...]:
    """The values of an enum that another, which they are given to, does not have."""
    match given, wanted:
        case EnumType(values=source), EnumType(values=target):
            return tuple(value for value in source if value not in target)
        case (ListType(element=source), ListType(element=target)) | (MapType(value=source), MapType(value=target)):
            return strange_values(source, target)
        case _:
            return ()


def can_fit(given: ValueType, wanted: ValueType) -> bool:
    """Whether values of `given` are of `wanted`; what only some numbers, texts and maps are is left to the run.

    A value that `wanted` never has, of an enum or inside a json, is held against all of `given`.
    """
    match given, wanted:
        case ScalarType(scalar=Kind.JSON), _:
            return True
        case _, ScalarType(scalar=Kind.JSON):
            return in_json(given) is None
        case ScalarType(scalar=source), ScalarType(scalar=target):
            return _can_fit_scalar(source, target)
        case EnumType(values=source), EnumType(values=target):
            return set(source) <= set(target)
        case (EnumType(), ScalarType(scalar=Kind.STRING)) | (ScalarType(scalar=Kind.STRING), EnumType()):
            return True
        case (ListType(element=source), ListType(element=target)) | (MapType(value=source), MapType(value=target)):
            return can_fit(source, target)
        case ObjectType(), ObjectType():
            return _can_fit_object(given, wanted)
        case ObjectType(), MapType(value=target):
            return all(can_fit(field.type, target) for field in given.fields)
        case MapType(), ObjectType():
            return True
        case _:
            return False


def _can_fit_scalar(given: Kind, wanted: Kind) -> bool:
    if given in _NUMBERS and wanted in _NUMBERS:
        return True
    return given is wanted or (given is Kind.STRING and wanted in _TEXTS)


def _can_fit_object(given: ObjectType, wanted: ObjectType) -> bool:
    for field in wanted.fields:
        source = given.field(field.name)
        if source is None and field.required:
            return False
        if source is not None and not can_fit(source.type, field.type):
            return False
    return True
