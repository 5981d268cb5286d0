"""Descriptor sets, read: the one place that walks through them and makes pools of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool


def pool_of(files: Iterable[FileDescriptorProto]) -> DescriptorPool:
    """A pool of its own; `files` are in dependency order."""
    pool = DescriptorPool()
    for file in files:
        pool.AddSerializedFile(file.SerializeToString())
    return pool


def with_imports(files: Sequence[FileDescriptorProto], path: str) -> Iterator[FileDescriptorProto]:
    """The file at `path` and all that it needs, in the order of `files`."""
    by_path = {file.name: file for file in files}
    needed, waiting = set[str](), [path]
    while waiting:
        name = waiting.pop()
        if name in by_path and name not in needed:
            needed.add(name)
            waiting += by_path[name].dependency
    return (file for file in files if file.name in needed)


def messages_of(file: FileDescriptorProto) -> Iterator[tuple[str, DescriptorProto]]:
    """Every message of a file by full name, those inside of others after them."""
    return _nested(file.message_type, f"{file.package}." if file.package else "")


def _nested(messages: Iterable[DescriptorProto], prefix: str) -> Iterator[tuple[str, DescriptorProto]]:
    for message in messages:
        yield prefix + message.name, message
        yield from _nested(message.nested_type, f"{prefix}{message.name}.")
