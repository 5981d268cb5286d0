"""Names of the flow language as the names of messages, paths and enum values."""

from __future__ import annotations

import keyword
import re
import sys

from promptflow_core.types import ObjectType

RESERVED_FLOWS = frozenset({"files", "executions", "flows", "system"})
"""The control plane's own words in REST paths."""

RESERVED_INPUTS = frozenset({"execution_mode", "options"})
RESERVED_STEPS = frozenset({"of_step"})
RESERVED_ITEMS = frozenset({"inputs", "steps", "system", "index", "loop", "range", "dict", "true", "false", "none"})
RESERVED_ENUM_VALUES = frozenset({"option", "reserved"})
"""Statements of their own inside `enum { }`."""

ZERO_VALUE = "VALUE_UNSPECIFIED"
PACKAGE_ROOT = "promptflow_api"
FLOWS_PACKAGE = f"{PACKAGE_ROOT}.flows"
"""The proto package of all flows, where the project names no other."""

CLIENT_MODULES = ("client", "sync")
"""Modules of the Python client beside the flows' own packages."""

_PACKAGES_OF_OTHERS = frozenset(
    {
        *("buf", "google", "grpc", "grpc_status", "grpc_tools", "protovalidate"),
        *(PACKAGE_ROOT, "promptflow"),
        *(f"promptflow_{part}" for part in ("client", "codegen", "core", "server", "workers")),
        *sys.stdlib_module_names,
    }
)

_ENUM_PREFIX = re.compile(r"v_*a_*l_*u_*e_*", re.IGNORECASE)


def camel(name: str) -> str:
    """`sentiment_analysis` as `SentimentAnalysis`."""
    return "".join(part[:1].upper() + part[1:] for part in name.split("_"))


def snake(name: str) -> str:
    """`SentimentAnalysis` as `sentiment_analysis`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def kebab(name: str) -> str:
    """`sentiment_analysis` as `sentiment-analysis`."""
    return name.replace("_", "-")


def folded(name: str) -> str:
    """Equal for names that JSON or a generated client would not tell apart."""
    return name.replace("_", "").casefold()


def enum_folded(value: str) -> str:
    """Equal for values of one `enum Value` that protoc takes for the same name."""
    stripped = _ENUM_PREFIX.sub("", value, count=1) if _ENUM_PREFIX.match(value) else value
    return "".join(part.capitalize() for part in (stripped or value).split("_"))


def is_python_keyword(name: str) -> bool:
    """Whether a Python package cannot have this name."""
    return keyword.iskeyword(name)


def package_problem(package: str) -> str | None:
    """Why the flows of a project cannot have this proto package; None: they can."""
    parts = package.split(".")
    if package == FLOWS_PACKAGE:
        return None
    for part in parts:
        if is_python_keyword(part):
            return f"`{part}` in `{package}` is a word of Python's own, so that its client could not be imported"
    if parts[0] in _PACKAGES_OF_OTHERS:
        return f"`{parts[0]}` in `{package}` is a package of others; begin with a name of your own, as in `acme.flows`"
    return None


def package_of(flow: str, version: int, root: str = FLOWS_PACKAGE) -> str:
    """The proto package of one major version of a flow."""
    return f"{root}.{flow}.v{version}"


def proto_path(flow: str, version: int, root: str = FLOWS_PACKAGE) -> str:
    """The generated file, relative to the proto root."""
    return f"{_folder(flow, version, root)}/{flow}.proto"


def lock_path(flow: str, version: int, root: str = FLOWS_PACKAGE) -> str:
    """The lock beside it."""
    return f"{_folder(flow, version, root)}/{flow}.lock.yaml"


def _folder(flow: str, version: int, root: str) -> str:
    return package_of(flow, version, root).replace(".", "/")


def output_message(step: str, executor: str, output: ObjectType) -> str:
    """The message of a step's output: the executor's where its shape is always the same, else the step's own."""
    return f"{camel(executor if output.name else step)}Output"
