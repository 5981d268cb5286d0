"""Go packages of the messages and services: what protoc-gen-go and protoc-gen-go-grpc are asked, where answers lie.

`languages.go` runs them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from google.protobuf.compiler.plugin_pb2 import CodeGeneratorRequest
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

from promptflow_codegen.emit.go_names import is_shared, stub_import, stub_package

_FIELD_LIKE_A_METHOD = re.compile(r"(?:(?<=^\t)|(?<=\bx\.))ProtoReflect\b(?!\()", re.MULTILINE)
"""Of a field `proto_reflect`: every other method of messages is one that the plugin knows to avoid."""

_VALUE_LIKE_A_MAP = re.compile(r"(?<=^\t)(\w+_Value)_(name|value)(?= +\1 += )", re.MULTILINE)
"""The constant of an enum value `Value_name` or `Value_value`; maps that the plugin makes are called so too."""


def go_stubs_request(files: FileDescriptorSet, paths: Sequence[str], module: str) -> CodeGeneratorRequest:
    """What both plugins are asked: the protos at `paths`, for the Go module at import path `module`.

    `files` is the set for clients (`stubs.client_descriptors`), in dependency order, imports included. What belongs to
    `promptflow_api.v1` is imported from the runtime's module, whatever `module` is.
    """
    request = CodeGeneratorRequest(file_to_generate=sorted(paths))
    for file in files.file:
        request.proto_file.add().CopyFrom(_for_go(file, module))
    return request


def emit_go_stubs(answers: Iterable[Mapping[str, str]], module: str) -> Mapping[str, str]:
    """The files of all answers, by path below the root of the module, sorted."""
    files = {_place(path, module): _with_free_names(text) for answer in answers for path, text in answer.items()}
    return dict(sorted(files.items()))


def _with_free_names(text: str) -> str:
    """What protoc-gen-go wrote, without the names that it gives to two things: one of each is spelled otherwise.

    No second field or value can have that name, since names may not differ in case alone; and it is as long as the
    other, so that columns stay aligned.
    """
    text = _FIELD_LIKE_A_METHOD.sub("Protoreflect", text)
    return _VALUE_LIKE_A_MAP.sub(lambda found: f"{found[1]}_{found[2].capitalize()}", text)


def _place(path: str, module: str) -> str:
    """The file that a plugin names by import path and proto, below the root of its module.

    The go command reads the ending of `print_windows.pb.go` as a condition, so that no file is named by a flow.
    """
    place = path.removeprefix(f"{module}/")
    if is_shared(place):
        return place
    return f"{place.rpartition('/')[0]}/{'service' if place.endswith('_grpc.pb.go') else 'messages'}.pb.go"


def _for_go(file: FileDescriptorProto, module: str) -> FileDescriptorProto:
    copy = FileDescriptorProto()
    copy.CopyFrom(file)
    if file.options.go_package:
        return copy
    copy.options.go_package = f"{stub_import(file.name, module)};{stub_package(file.name)}"
    return copy
