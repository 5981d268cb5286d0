"""REST paths and constraints, read from a descriptor set by the definitions that are part of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from google.api import annotations_pb2  # type: ignore[import-untyped]
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor, ServiceDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.message_factory import GetMessageClass

from promptflow_codegen.descriptors import pool_of

_HTTP: Any = annotations_pb2.http
_VERBS = ("get", "post", "put", "patch", "delete")


@dataclass(frozen=True, slots=True)
class Route:
    """Where a method is in REST; `has_body` says that the fields which are not in the path come as a JSON body."""

    verb: str
    path: str
    has_body: bool

    @property
    def takes_message(self) -> bool:
        """Whether the body is the whole request."""
        return self.has_body and "{" not in self.path


class Annotations:
    """A descriptor set with its options."""

    def __init__(self, files: FileDescriptorSet) -> None:
        """`files` are in dependency order."""
        self._pool = pool_of(files.file)
        self._paths = [file.name for file in files.file if file.service]
        options = self._pool.FindMessageTypeByName("google.protobuf.FieldOptions")
        self._options: Any = GetMessageClass(options)
        self._rules = self._pool.FindExtensionByName("buf.validate.field")

    def services(self) -> list[ServiceDescriptor]:
        """Every service that has a REST path, by full name."""
        files = (self._pool.FindFileByName(path) for path in self._paths)
        found = [service for file in files for service in file.services_by_name.values()]
        with_paths = (service for service in found if any(self.route(method) for method in service.methods))
        return sorted(with_paths, key=lambda service: service.full_name)

    def route(self, method: MethodDescriptor) -> Route | None:
        """The REST path of a method, if it has one."""
        options: Any = method.GetOptions()
        if not options.HasExtension(_HTTP):
            return None
        rule = options.Extensions[_HTTP]
        verb = next(verb for verb in _VERBS if getattr(rule, verb))
        return Route(verb, cast("str", getattr(rule, verb)), rule.body == "*")

    def rules(self, field: FieldDescriptor) -> Any | None:
        """The `buf.validate.FieldRules` of a field, if it has some."""
        data: bytes = field.GetOptions().SerializeToString()
        if not data:
            return None
        options = self._options.FromString(data)
        return options.Extensions[self._rules] if options.HasExtension(self._rules) else None
