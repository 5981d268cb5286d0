"""A JSON document as a submission: its shape by a pydantic model per flow, constraints by the message it makes."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, ValidationError, create_model
from pydantic_core import ErrorDetails

from promptflow_core.coercion import CoercionError
from promptflow_core.errors import Violation
from promptflow_core.types import (
    SCALARS,
    EnumType,
    FieldType,
    ListType,
    MapType,
    ObjectType,
    ScalarType,
    ValueType,
)
from promptflow_core.values import NativeValue
from promptflow_server.services.codec import encode_message
from promptflow_server.services.contracts import FlowContract, Message
from promptflow_server.services.http_face.reserved_names import ReservedNames
from promptflow_server.services.http_face.scalar_forms import FORMS, STAND_INS, enum_form, shown, suggestion
from promptflow_server.services.submission import Submission

MAX_TOLD = 100
"""Mistakes of shape that one answer may carry; more are not worth the time to write them."""

_OPTIONS = ObjectType(
    (
        FieldType("request_id", SCALARS["string"]),
        FieldType("priority", SCALARS["int32"]),
        FieldType("labels", MapType(SCALARS["string"])),
        FieldType("read_mask", SCALARS["string"]),
        FieldType("timeout", SCALARS["duration"]),
    )
)


class DocumentReader:
    """Reads the documents of one flow's ExecuteRequest."""

    def __init__(self, contract: FlowContract) -> None:
        self._contract = contract
        mode = contract.execute_request.DESCRIPTOR.fields_by_name["execution_mode"].enum_type
        assert mode is not None
        modes = EnumType(tuple(value.name for value in mode.values if value.number))
        self.shape = ObjectType(
            (*contract.plan.inputs.fields, FieldType("execution_mode", modes), FieldType("options", _OPTIONS))
        )
        self.reserved = ReservedNames.of(contract.execute_request.DESCRIPTOR)
        self._model = _model_of(self.shape, "ExecuteRequest")

    def read(self, document: Mapping[str, Any]) -> Submission:
        """Read a document; what does not fit becomes violations, the rest still goes into the message.

        What the flow has given up is passed over, for clients of earlier versions send it.
        """
        document = self.reserved.left_out_of(document)
        values, violations = self._shaped(document)
        request = self._contract.execute_request()
        given: dict[str, NativeValue] = {}
        names = {field.name for field in self._contract.plan.inputs.fields}
        for name, value in values.items():
            try:
                _encode(name, value, request)
            except CoercionError as error:
                request.ClearField(name)
                violations.append(Violation(error.path, error.message))
                continue
            if name in names:
                given[name] = value
        unread = frozenset(name for name in document if name in names and document[name] is not None) - given.keys()
        return Submission(request, given, tuple(violations), unread=unread)

    def _shaped(self, document: Mapping[str, Any]) -> tuple[dict[str, NativeValue], list[Violation]]:
        try:
            return _native(self._model.model_validate(document), self.shape), []
        except ValidationError as error:
            mistakes = error.errors(include_url=False, include_input=True)
        violations = [self._violation_of(mistake) for mistake in mistakes[:MAX_TOLD]]
        try:
            return _native(self._model.model_validate(_without(document, mistakes, self.shape)), self.shape), violations
        except ValidationError:
            return {}, violations

    def _violation_of(self, mistake: ErrorDetails) -> Violation:
        path, place = _locate(mistake["loc"], self.shape)
        match mistake["type"]:
            case "extra_forbidden":
                known = tuple(field.name for field in place.fields) if isinstance(place, ObjectType) else ()
                what = f"{self._contract.title} has no such input" if place is self.shape else "there is no such field"
                return Violation(path, f"{what}{suggestion(mistake['loc'][-1], known)}")
            case "list_type":
                return Violation(path, f"must be a list, not {shown(mistake['input'])}")
            case "dict_type" | "model_type":
                return Violation(path, f"must be an object, not {shown(mistake['input'])}")
            case _:
                return Violation(path, mistake["msg"])


def _model_of(shape: ObjectType, name: str) -> type[BaseModel]:
    fields: dict[str, Any] = {
        attribute: (_annotation_of(field.type, field.name) | None, Field(None, alias=field.name))
        for attribute, field in _attributes(shape.fields)
    }
    return create_model(name, __config__=ConfigDict(extra="forbid"), **fields)


def _annotation_of(value_type: ValueType, name: str) -> Any:
    match value_type:
        case ScalarType(scalar=kind):
            return Annotated[Any, PlainValidator(FORMS[kind])]
        case EnumType(values=values):
            return Annotated[Any, PlainValidator(enum_form(values))]
        case ListType(element=element):
            return list[_annotation_of(element, name)]  # type: ignore[misc]
        case MapType(value=value):
            return dict[str, _annotation_of(value, name)]  # type: ignore[misc]
        case ObjectType():
            return _model_of(value_type, name)


def _native(value: Any, value_type: ValueType) -> NativeValue:
    match value_type:
        case ObjectType(fields=fields):
            given = [
                (field, getattr(value, name)) for name, field in _attributes(fields) if name in value.model_fields_set
            ]
            return {
                field.name: _native(item, field.type)
                for field, item in given
                if item is not None or field.type == SCALARS["json"]
            }
        case ListType(element=element):
            return [_native(item, element) for item in value]
        case MapType(value=inner):
            return {key: _native(item, inner) for key, item in value.items()}
        case _:
            return value


def _attributes(fields: Sequence[FieldType]) -> Iterator[tuple[str, FieldType]]:
    # Inputs may be called `copy` or `model_config`, so the attributes have names of their own.
    return ((f"field_{index}", field) for index, field in enumerate(fields))


def _encode(name: str, value: NativeValue, request: Message) -> None:
    if name == "options":
        options: dict[str, NativeValue] = dict(value)
        mask: str = options.pop("read_mask", "")
        request.options.read_mask.paths.extend(path.strip() for path in mask.split(",") if path.strip())
        encode_message(options, request.options, name)
    else:
        encode_message({name: value}, request)


def _locate(place: Sequence[str | int], shape: ObjectType) -> tuple[str, ObjectType | None]:
    """The path of a mistake, and the object that holds the last name of it."""
    path, holder = "", None
    current: ValueType | None = shape
    for part in place:
        if isinstance(current, ObjectType):
            path += f".{part}" if path else str(part)
            holder = current
        elif isinstance(current, ListType | MapType):
            path += f"[{part}]"
        current = _type_inside(current, part)
    return path, holder


def _without(document: Mapping[str, Any], mistakes: Sequence[ErrorDetails], shape: ObjectType) -> Mapping[str, Any]:
    """A copy that lacks every mistake; an item of a list or map has a stand-in, so that all others keep their places.

    Where there are more mistakes than are told, the copy lacks the whole inputs that have one.
    """
    if len(mistakes) > MAX_TOLD:
        damaged = {mistake["loc"][0] for mistake in mistakes}
        return {name: value for name, value in document.items() if name not in damaged}
    rest: dict[str, Any] = copy.deepcopy(dict(document))
    for mistake in mistakes:
        _take_out(mistake["loc"], rest, shape)
    return rest


def _take_out(place: Sequence[str | int], holder: Any, holder_type: ValueType | None) -> None:
    part, *further = place
    part_type = _type_inside(holder_type, part)
    inner: Any = holder[part]
    if further and _has(inner, further[0]):
        _take_out(further, inner, part_type)
    elif isinstance(holder_type, ListType | MapType) and part_type is not None:
        holder[part] = _stand_in(part_type)
    else:
        del holder[part]


def _has(holder: Any, part: str | int) -> bool:
    match holder:
        case dict():
            return part in holder
        case list():
            return isinstance(part, int) and part < len(holder)  # pyright: ignore[reportUnknownArgumentType]
        case _:
            return False


def _type_inside(value_type: ValueType | None, part: str | int) -> ValueType | None:
    match value_type:
        case ObjectType():
            field = value_type.field(str(part))
            return None if field is None else field.type
        case ListType(element=inner) | MapType(value=inner):
            return inner
        case _:
            return None


def _stand_in(value_type: ValueType) -> Any:
    match value_type:
        case ScalarType(scalar=kind):
            return STAND_INS[kind]
        case EnumType(values=values):
            return values[0]
        case ListType():
            return []
        case MapType() | ObjectType():
            return {}
