"""Go packages of the messages and services: what protoc-gen-go and protoc-gen-go-grpc are asked, where answers lie.

`languages.go` runs them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from google.protobuf.compiler.plugin_pb2 import CodeGeneratorRequest
from google.protobuf.descriptor_pb2 import EnumDescriptorProto, FileDescriptorProto, FileDescriptorSet

from promptflow_codegen.descriptors import messages_of
from promptflow_codegen.emit.go_names import is_shared, stub_import, stub_package


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
    files = {_place(path, module): text for answer in answers for path, text in answer.items()}
    return dict(sorted(files.items()))


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
    _rename_enums(copy)
    return copy


def _rename_enums(file: FileDescriptorProto) -> None:
    """Give an enum another name where one of its values is called like a map that protoc-gen-go makes of its name.

    The names of types are not on the wire.
    """
    renamed: dict[str, str] = {}
    for full_name, message in messages_of(file):
        for enum in message.enum_type:
            name = _free_name(enum)
            if name != enum.name:
                renamed[f".{full_name}.{enum.name}"] = f".{full_name}.{name}"
                enum.name = name
    if not renamed:
        return
    for _, message in messages_of(file):
        for field in message.field:
            field.type_name = renamed.get(field.type_name, field.type_name)


def _free_name(enum: EnumDescriptorProto) -> str:
    values = {value.name for value in enum.value}
    name = enum.name
    while not values.isdisjoint({name, f"{name}_name", f"{name}_value"}):
        name += "_"
    return name
