"""Whether a value of one type can be used where another is asked for."""

from __future__ import annotations

from promptflow_core.types import EnumType, Kind, ListType, MapType, ObjectType, ScalarType, ValueType

_NUMBERS = frozenset({Kind.INTEGER, Kind.INT32, Kind.NUMBER})
_TEXTS = frozenset({Kind.STRING, Kind.TIMESTAMP, Kind.DURATION})
_NOT_JSON = frozenset({Kind.BYTES, Kind.FILE, Kind.TIMESTAMP, Kind.DURATION})


def can_fit(given: ValueType, wanted: ValueType) -> bool:
    """False where no value of `given` is one of `wanted`; what only some values do is left to the run."""
    match given, wanted:
        case ScalarType(scalar=Kind.JSON), _:
            return True
        case _, ScalarType(scalar=Kind.JSON):
            return not isinstance(given, ScalarType) or given.scalar not in _NOT_JSON
        case ScalarType(scalar=source), ScalarType(scalar=target):
            return _can_fit_scalar(source, target)
        case EnumType(values=source), EnumType(values=target):
            return bool(set(source) & set(target))
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
