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
from promptflow_server.services.http_face.scalar_forms import FORMS, enum_form, shown, suggestion
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
        values, violations = self._shaped(self.reserved.left_out_of(document))
        request = self._contract.execute_request()
        given: dict[str, NativeValue] = {}
        names = {field.name for field in self._contract.plan.inputs.fields}
        for name, value in values.items():
            try:
                _encode(name, value, request)
            except CoercionError as error:
                violations.append(Violation(error.path, error.message))
                continue
            if name in names:
                given[name] = value
        return Submission(request, given, tuple(violations))

    def _shaped(self, document: Mapping[str, Any]) -> tuple[dict[str, NativeValue], list[Violation]]:
        try:
            return _native(self._model.model_validate(document), self.shape), []
        except ValidationError as error:
            mistakes = error.errors(include_url=False, include_input=True)
        violations = [self._violation_of(mistake) for mistake in mistakes[:MAX_TOLD]]
        try:
            return _native(self._model.model_validate(_without(document, mistakes)), self.shape), violations
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
            field = current.field(str(part))
            holder, current = current, None if field is None else field.type
        elif isinstance(current, ListType | MapType):
            path += f"[{part}]"
            current = current.element if isinstance(current, ListType) else current.value
    return path, holder


def _without(document: Mapping[str, Any], mistakes: Sequence[ErrorDetails]) -> Mapping[str, Any]:
    """A copy that lacks every mistake: its own key, or that of the list that holds it."""
    rest: dict[str, Any] = copy.deepcopy(dict(document))
    for mistake in mistakes:
        holder: dict[Any, Any] = rest
        key: str | int = ""
        current: Any = rest
        for part in mistake["loc"]:
            if isinstance(current, dict):
                holder, key = current, part  # pyright: ignore[reportUnknownVariableType]
                current = holder.get(part)
            elif isinstance(current, list) and isinstance(part, int):
                current = current[part]  # pyright: ignore[reportUnknownVariableType]
        holder.pop(key, None)
    return rest
