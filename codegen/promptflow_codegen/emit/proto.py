"""The proto3 file of one flow."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from promptflow_codegen.model import Enum, Field, Message, Method, ProtoFile, Service
from promptflow_codegen.naming import ZERO_VALUE

_IMPORTS = {
    "google.protobuf.Duration": "google/protobuf/duration.proto",
    "google.protobuf.FieldMask": "google/protobuf/field_mask.proto",
    "google.protobuf.Timestamp": "google/protobuf/timestamp.proto",
    "google.protobuf.Value": "google/protobuf/struct.proto",
    "google.rpc.Status": "google/rpc/status.proto",
    "promptflow_api.v1.File": "promptflow_api/v1/files.proto",
}
_EVENTS = re.compile(r"promptflow_api\.v1\.\w+Event")
_OF_FLOW = re.compile(r"(?P<package>(?:\w+\.)+(?P<flow>\w+)\.v\d+)\.Result")
_QUALIFIED = re.compile(r"(?<![\w.])\.([a-z_][\w.]*)")
_ALWAYS = ("buf/validate/validate.proto", "google/api/annotations.proto")


def emit_proto(file: ProtoFile) -> str:
    """Render one file; types of other files and options begin with a dot, so that no name of a flow can shadow them."""
    head = ['syntax = "proto3";', "", f"package {file.package};", ""]
    imports = [f'import "{path}";' for path in sorted(_imports(file.messages))]
    parts = ["\n".join(_service(file.service)), *("\n".join(_message(message)) for message in file.messages)]
    return "\n".join([*head, *imports, ""]) + "\n" + "\n\n".join(parts) + "\n"


def _imports(messages: Sequence[Message]) -> set[str]:
    found = set[str](_ALWAYS)
    for message in messages:
        found |= _imports(message.messages)
        for field in message.fields:
            found |= {_file_of(name) for name in _QUALIFIED.findall(field.type)}
    return found


def _file_of(name: str) -> str:
    if name in _IMPORTS:
        return _IMPORTS[name]
    of_flow = _OF_FLOW.fullmatch(name)
    if of_flow is not None:
        return f"{of_flow['package'].replace('.', '/')}/{of_flow['flow']}.proto"
    return "promptflow_api/v1/events.proto" if _EVENTS.fullmatch(name) else "promptflow_api/v1/execution.proto"


def _service(service: Service) -> Iterator[str]:
    yield from _comment(service.doc)
    yield f"service {service.name} {{"
    for method in service.methods:
        yield from _indented(_method(method))
    yield "}"


def _method(method: Method) -> Iterator[str]:
    response = f"stream {method.response}" if method.is_streaming else method.response
    body = f' body: "{method.body}"' if method.body else ""
    yield f"rpc {method.name}({method.request}) returns ({response}) {{"
    yield f'  option (.google.api.http) = {{{method.verb}: "{method.path}"{body}}};'
    yield "}"


def _message(message: Message) -> Iterator[str]:
    yield from _comment(message.doc)
    yield f"message {message.name} {{"
    blocks = [list(_reserved(message.reserved_numbers, message.reserved_names))]
    blocks += [list(_enum(enum)) for enum in message.enums]
    blocks += [list(_message(nested)) for nested in message.messages]
    blocks.append(list(_fields(message.fields)))
    filled = [block for block in blocks if block]
    for index, block in enumerate(filled):
        if index:
            yield ""
        yield from _indented(block)
    yield "}"


def _enum(enum: Enum) -> Iterator[str]:
    yield f"enum {enum.name} {{"
    yield from _indented(_reserved(enum.reserved_numbers, enum.reserved_names))
    yield f"  {ZERO_VALUE} = 0;"
    for value in sorted(enum.values, key=lambda value: value.number):
        yield f"  {value.name} = {value.number};"
    yield "}"


def _fields(fields: Sequence[Field]) -> Iterator[str]:
    for field in fields:
        if not field.oneof:
            yield from _field(field)
    for name in dict.fromkeys(field.oneof for field in fields if field.oneof):
        yield f"oneof {name} {{"
        for field in fields:
            if field.oneof == name:
                yield from _indented(_field(field))
        yield "}"


def _field(field: Field) -> Iterator[str]:
    yield from _comment(field.doc)
    options = f" [{', '.join(field.options)}]" if field.options else ""
    comment = f" // {field.comment}" if field.comment else ""
    yield f"{field.full_type} {field.name} = {field.number}{options};{comment}"


def _reserved(numbers: Sequence[int], names: Sequence[str]) -> Iterator[str]:
    if numbers:
        yield f"reserved {', '.join(map(str, numbers))};"
    if names:
        listed = ", ".join(f'"{name}"' for name in names)
        yield f"reserved {listed};"


def _comment(text: str) -> Iterator[str]:
    for line in text.strip().splitlines():
        yield f"// {line.strip()}".rstrip()


def _indented(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        yield f"  {line}" if line else ""
