"""The blocking face of the Python client, made of the text of the asynchronous one: same names, same parameters, same
documentation. Only how a call is made differs, and that is the runtime's (`promptflow_client.portal`).
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence

from promptflow_codegen.emit.async_class import AsyncClass
from promptflow_codegen.emit.python_types import WIDTH, bracketed, docstring

_FLOW_BASE = ("FlowClientBase", "PromptFlowBase", "Stream")
_TYPES = ("Result", "StepValue", "Steps")


def emit_sync_runtime(modules: Mapping[str, str]) -> str:
    """The module `promptflow_client.sync`, of the sources of `promptflow`, `flow` and `handle`."""
    classes = {
        node.name: AsyncClass(node, text)
        for text in modules.values()
        for node in ast.parse(text).body
        if isinstance(node, ast.ClassDef)
    }
    base = classes["PromptFlowBase"]
    places = {
        "{promptflow_doc}": base.documentation(),
        "{promptflow_init}": base.parameters("__init__"),
        "{promptflow_arguments}": [f"            {line}," for line in base.arguments("__init__")],
        "{promptflow_methods}": base.methods("self.connection.promptflow", "self.connection.portal", skip={"close"}),
        "{flow_doc}": classes["FlowClientBase"].documentation(),
        "{flow_methods}": classes["FlowClientBase"].methods("self._inner", "self._portal"),
        "{handle_doc}": classes["Handle"].documentation(),
        "{handle_methods}": classes["Handle"].methods("self._inner", "self._portal"),
    }
    lines: list[str] = []
    for line in _RUNTIME.splitlines():
        lines += places.get(line.strip(), [line])
    return "\n".join(lines) + "\n"


def emit_sync_flow(text: str) -> str:
    """The module `sync` beside the module `client` of a flow, of the text of that."""
    tree = ast.parse(text)
    nodes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    client = AsyncClass(nodes[-1], text, handle="RunHandle")
    summary = (ast.get_docstring(tree) or "").replace(". Generated", ", without asyncio. Generated", 1)
    methods = client.methods("self._client", "self._portal")
    return "\n".join(
        [
            *docstring([summary], 0),
            "",
            "from __future__ import annotations",
            "",
            *_imports(tree, client.used),
            "",
            "Handle: TypeAlias = RunHandle[Result, Steps, StepValue]",
            "",
            "",
            f"class {client.name}(FlowClientBase[Result, Steps, StepValue]):",
            *client.documentation(),
            "",
            "    def __init__(self, promptflow: PromptFlowBase) -> None:",
            f"        client = _client.{client.name}(promptflow.connection.promptflow)",
            "        super().__init__(promptflow.connection.portal, client)",
            "        self._client = client",
            *methods,
            "",
        ]
    )


def _imports(tree: ast.Module, used: set[str]) -> list[str]:
    """The imports of a flow's blocking module: from where its asynchronous one has a name, or from that itself."""
    origins = {
        alias.name: node.module
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.module is not None
        for alias in node.names
        if alias.asname is None
    }
    standard: dict[str, set[str]] = {"typing": {"TypeAlias"}}
    runtime: set[str] = set()
    for name in used & origins.keys():
        if origins[name] == "promptflow_client":
            runtime.add(name)
        else:
            standard.setdefault(origins[name] or "", set()).add(name)
    own = sorted((set(_TYPES) | used) & _defined(tree) - {"Handle"}, key=_place)
    return [
        *(f"from {module} import {', '.join(sorted(standard[module]))}" for module in sorted(standard)),
        "",
        *_import("promptflow_client", sorted(runtime, key=_place)),
        *_import("promptflow_client.sync", _FLOW_BASE),
        "from promptflow_client.sync import Handle as RunHandle",
        "",
        "from . import client as _client",
        *_import(".client", own),
    ]


def _place(name: str) -> list[tuple[int, str]]:
    """Where formatters put a name among imports: without regard to case, numbers by value."""
    parts = re.findall(r"\d+|\D+", name.lower())
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]


def _import(module: str, names: Sequence[str]) -> list[str]:
    line = f"from {module} import {', '.join(names)}"
    if not names:
        return []
    return [line] if len(line) <= WIDTH else bracketed(f"from {module} import (", names, ")")


def _defined(tree: ast.Module) -> set[str]:
    classes = {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
    aliases = {
        node.target.id for node in tree.body if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }
    return classes | aliases


_RUNTIME = '''\
"""The client without asyncio, for scripts and for threads: the asynchronous classes, blocking.

Written by `promptflow_codegen.emit.python_sync` from the text of those classes; a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, Self, TypeVar

import grpc

from promptflow_client import flow as _flow
from promptflow_client import handle as _handle
from promptflow_client import promptflow as _promptflow
from promptflow_client.connection import ChannelOptions
from promptflow_client.credentials import MetadataHook
from promptflow_client.events import Event
from promptflow_client.executions import Execution, ExecutionStatus, ExecutionSummary, FlowInfo, FlowSummary, Health
from promptflow_client.portal import Portal, Stream
from promptflow_client.retry import RetryPolicy

__all__ = ["FlowClientBase", "Handle", "PromptFlowBase", "Stream"]

ResultT = TypeVar("ResultT")
StepsT = TypeVar("StepsT")
OutputT = TypeVar("OutputT")


@dataclass(frozen=True, slots=True)
class Bridge:
    """The asynchronous client, and the thread that it lives in."""

    portal: Portal
    promptflow: _promptflow.PromptFlowBase


class PromptFlowBase:
{promptflow_doc}

    def __init__(
        self,
{promptflow_init}
    ) -> None:
        promptflow = _promptflow.PromptFlowBase(
{promptflow_arguments}
        )
        self.connection = Bridge(Portal(promptflow.close), promptflow)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all calls and the connection; runs go on."""
        self.connection.portal.close()
{promptflow_methods}


class FlowClientBase(Generic[ResultT, StepsT, OutputT]):
{flow_doc}

    def __init__(self, portal: Portal, inner: _flow.FlowClientBase[ResultT, StepsT, OutputT]) -> None:
        self._portal = portal
        self._inner = inner
{flow_methods}


class Handle(Generic[ResultT, StepsT, OutputT]):
{handle_doc}

    def __init__(self, portal: Portal, inner: _handle.Handle[ResultT, StepsT, OutputT]) -> None:
        self._portal = portal
        self._inner = inner
        self.execution_id = inner.execution_id

    def __repr__(self) -> str:
        return f"Handle({self.execution_id!r})"
{handle_methods}
'''
