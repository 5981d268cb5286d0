"""Python modules of the messages and services, for clients."""

from __future__ import annotations

import keyword
import re
from collections.abc import Mapping, Sequence

from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto, FileDescriptorSet

from promptflow_codegen.compile import generate_python
from promptflow_codegen.descriptors import messages_of
from promptflow_codegen.naming import FLOWS_PACKAGE, PACKAGE_ROOT
from promptflow_codegen.reuse import Reuse

_NAMED_AS_A_WORD = re.compile(rf"^ *({'|'.join(keyword.kwlist)}): .*\n", re.MULTILINE)
_SERVER_ONLY = frozenset(
    {
        "buf/validate/validate.proto",
        "google/api/annotations.proto",
        "google/api/http.proto",
        "google/api/httpbody.proto",
    }
)


def emit_stubs(files: FileDescriptorSet, package: str = FLOWS_PACKAGE, reuse: Reuse | None = None) -> Mapping[str, str]:
    """Modules, stubs and services, by path relative to the folder of Python packages.

    Those of the flows in `package`; the contract's own beside the shipped flows alone, since one distribution has them
    and all others import them from there. `reuse` has those that were made before.
    """
    root = PACKAGE_ROOT if package == FLOWS_PACKAGE else package.replace(".", "/")
    kept = client_descriptors(files)
    ours = [file for file in kept.file if file.name.startswith(f"{root}/")]
    sources = {file.name: file.SerializeToString(deterministic=True) for file in ours}
    known = {name: reuse.modules("stubs", source) if reuse else None for name, source in sources.items()}
    new = [name for name, modules in known.items() if modules is None]
    made: Mapping[str, str] = generate_python(kept, new) if new else {}
    texts: dict[str, str] = {}
    for file in ours:
        modules = known[file.name]
        if modules is None:
            modules = {path: _checkable(path, made[path]) for path in _modules_of(file)}
        if reuse is not None:
            reuse.note_modules("stubs", sources[file.name], modules)
        texts |= modules
    return texts


def _checkable(path: str, text: str) -> str:
    """A module's text without what type checkers cannot read: a stub names values that are words of Python, too."""
    return _NAMED_AS_A_WORD.sub("", text) if path.endswith(".pyi") else text


def _modules_of(file: FileDescriptorProto) -> Sequence[str]:
    stem = file.name.removesuffix(".proto")
    # protoc writes a module of services for files that have none, too.
    services = [f"{stem}_pb2_grpc.py"] if file.service else []
    return [f"{stem}_pb2.py", f"{stem}_pb2.pyi", *services]


def client_descriptors(files: FileDescriptorSet) -> FileDescriptorSet:
    """The set without REST paths and constraints.

    They are the server's business, and generated modules would import packages for them that clients do not have.
    """
    kept = FileDescriptorSet()
    for file in files.file:
        if file.name in _SERVER_ONLY:
            continue
        copy = kept.file.add()
        copy.CopyFrom(file)
        if file.name.startswith("google/"):
            continue
        copy.ClearField("dependency")
        copy.dependency.extend(name for name in file.dependency if name not in _SERVER_ONLY)
        for _, message in messages_of(copy):
            _strip(message)
        for service in copy.service:
            for method in service.method:
                method.ClearField("options")
    return kept


def _strip(message: DescriptorProto) -> None:
    for field in message.field:
        is_deprecated = field.options.deprecated
        field.ClearField("options")
        if is_deprecated:
            field.options.deprecated = True
