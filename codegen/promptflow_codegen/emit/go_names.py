"""Where things lie in a Go module: import paths, folders, package names."""

from __future__ import annotations

from promptflow_codegen.naming import PACKAGE_ROOT
from promptflow_codegen.plan import FlowPlan, FlowRef

RUNTIME_MODULE = "github.com/promptflow-grpc/promptflow-go"
"""The module of the runtime and of the messages of `promptflow_api.v1`."""

_UNIMPORTABLE = frozenset({"internal", "testdata", "vendor"})
"""Folders that the go command treats in a way of its own."""

_WORDS = """
break case chan const continue default defer else fallthrough for func go goto if import interface map package range
return select struct switch type var
any append bool byte cap clear close comparable complex complex64 complex128 copy delete error false float32 float64
imag int int8 int16 int32 int64 iota len make max min new nil panic print println real recover rune string true uint
uint8 uint16 uint32 uint64 uintptr
main init promptflow time context errors fmt iter
"""
_TAKEN = frozenset(_WORDS.split())
"""No package is called so: it would be a word of the language, or hide what every caller uses."""


def facade_folder(flow: FlowPlan | FlowRef) -> str:
    """The folder of a flow's typed client, below the module's root."""
    return f"flows/{_segment(flow.name)}/v{flow.version}"


def facade_package(flow: str) -> str:
    """The name of that package: `sentimentanalysis`."""
    name = flow.replace("_", "")
    return f"{name}flow" if name in _TAKEN else name


def stub_folder(proto_path: str) -> str:
    """The folder of the messages of one proto file, below the module's root."""
    segments = [_segment(segment) for segment in proto_path.split("/")[:-1]]
    # The typed clients have `flows` for themselves.
    return "/".join(["messages", *segments] if segments[0] == "flows" else segments)


def stub_import(proto_path: str, module: str) -> str:
    """The import path of the messages of one proto file."""
    return f"{RUNTIME_MODULE if is_shared(proto_path) else module}/{stub_folder(proto_path)}"


def stub_package(proto_path: str) -> str:
    """The name of that package: `sentimentanalysisv1`."""
    *_, flow, version = proto_path.split("/")[:-1]
    return f"{flow}{version}".replace("_", "")


def is_shared(proto_path: str) -> bool:
    """Whether a file belongs to the contract that all modules share."""
    return proto_path.startswith(f"{PACKAGE_ROOT}/v1/")


def _segment(name: str) -> str:
    return f"{name}_" if name in _UNIMPORTABLE else name
