"""Go packages of the messages and services: protoc-gen-go and protoc-gen-go-grpc, run on descriptors."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from google.protobuf.compiler.plugin_pb2 import CodeGeneratorRequest, CodeGeneratorResponse
from google.protobuf.descriptor_pb2 import DescriptorProto, EnumDescriptorProto, FileDescriptorProto, FileDescriptorSet

from promptflow_codegen.compile import ProtocError
from promptflow_codegen.emit.go_names import RUNTIME_MODULE, is_shared, stub_import, stub_package

TIMEOUT_S = 120


@dataclass(frozen=True, slots=True)
class GoPlugins:
    """Where the two plugins are."""

    protoc_gen_go: Path
    protoc_gen_go_grpc: Path


def generate_go_stubs(
    files: FileDescriptorSet, paths: Sequence[str], plugins: GoPlugins, module: str = RUNTIME_MODULE
) -> Mapping[str, str]:
    """Go files of the protos at `paths`, by path below the root of the Go module at import path `module`, sorted.

    `files` is the set for clients (`stubs.client_descriptors`), in dependency order, imports included. What belongs to
    `promptflow_api.v1` is imported from the runtime's module, whatever `module` is.

    Raises:
        ProtocError: a plugin cannot be run, or refuses.
    """
    request = CodeGeneratorRequest(file_to_generate=sorted(paths))
    for file in files.file:
        request.proto_file.add().CopyFrom(_for_go(file, module))
    data = request.SerializeToString(deterministic=True)
    generated: dict[str, str] = {}
    for plugin in (plugins.protoc_gen_go, plugins.protoc_gen_go_grpc):
        for path, text in _run(plugin, data):
            generated[_place(path, module)] = text
    return dict(sorted(generated.items()))


def _run(plugin: Path, request: bytes) -> Iterator[tuple[str, str]]:
    try:
        done = subprocess.run([plugin], input=request, capture_output=True, timeout=TIMEOUT_S, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ProtocError(f"{plugin.name} cannot be run: {error}") from None
    response = CodeGeneratorResponse.FromString(done.stdout) if done.returncode == 0 else CodeGeneratorResponse()
    if done.returncode != 0 or response.error:
        said = response.error or done.stderr.decode("utf-8", "replace").strip()
        raise ProtocError(f"{plugin.name} ended with status {done.returncode}: {said}")
    for file in response.file:
        yield file.name, file.content


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
    for message, full_name in _messages(file.message_type, f".{file.package}"):
        for enum in message.enum_type:
            name = _free_name(enum)
            if name != enum.name:
                renamed[f"{full_name}.{enum.name}"] = f"{full_name}.{name}"
                enum.name = name
    if not renamed:
        return
    for message, _ in _messages(file.message_type, f".{file.package}"):
        for field in message.field:
            field.type_name = renamed.get(field.type_name, field.type_name)


def _free_name(enum: EnumDescriptorProto) -> str:
    values = {value.name for value in enum.value}
    name = enum.name
    while not values.isdisjoint({name, f"{name}_name", f"{name}_value"}):
        name += "_"
    return name


def _messages(messages: Sequence[DescriptorProto], scope: str) -> Iterator[tuple[DescriptorProto, str]]:
    for message in messages:
        full_name = f"{scope}.{message.name}"
        yield message, full_name
        yield from _messages(message.nested_type, full_name)
