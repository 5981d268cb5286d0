"""The blocking face of the Python client, made of the text of the asynchronous one: same names, same parameters, same
documentation. Only how a call is made differs, and that is the runtime's (`promptflow_client.portal`).

A method that is `async def` waits for its answer; one that gives an asynchronous generator gives a `Stream`; one that
gives a handle gives a blocking handle.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from promptflow_codegen.emit.python_types import WIDTH, bracketed, docstring

_GENERATOR = "AsyncGenerator"
_FLOW_BASE = ("FlowClientBase", "PromptFlowBase", "Stream")
_TYPES = ("Result", "StepValue", "Steps")


def emit_sync_runtime(modules: Mapping[str, str]) -> str:
    """The module `promptflow_client.sync`, of the sources of `promptflow`, `flow` and `handle`."""
    classes = {
        node.name: _Class(node, text)
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
    client = _Class(nodes[-1], text, handle="RunHandle")
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


class _Class:
    """One asynchronous class; `used` are the names that the annotations of its methods need."""

    def __init__(self, node: ast.ClassDef, text: str, handle: str = "Handle") -> None:
        self.name = node.name
        self.used: set[str] = set()
        self._node = node
        self._lines = text.split("\n")
        self._handle = handle
        self._functions = {
            each.name: each for each in node.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
        }

    def documentation(self) -> list[str]:
        """The lines of the docstring of the class."""
        return self._docstring(self._node)

    def parameters(self, name: str) -> list[str]:
        """The parameters of a method after `self`, a line each."""
        arguments = self._functions[name].args
        positional = arguments.args[1:]
        padding: list[ast.expr | None] = [None] * (len(positional) - len(arguments.defaults))
        lines = [self._parameter(*pair) for pair in zip(positional, [*padding, *arguments.defaults], strict=True)]
        if arguments.kwonlyargs:
            lines.append("        *,")
        return lines + [
            self._parameter(*pair) for pair in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
        ]

    def arguments(self, name: str) -> list[str]:
        """What a method hands on to the one that it stands for."""
        arguments = self._functions[name].args
        return [
            *(one.arg for one in arguments.args[1:]),
            *(f"{one.arg}={one.arg}" for one in arguments.kwonlyargs),
        ]

    def methods(self, inner: str, portal: str, skip: Iterable[str] = ()) -> list[str]:
        """The lines of all public methods, each after an empty one."""
        lines: list[str] = []
        for name, function in self._functions.items():
            if not name.startswith("_") and name not in skip:
                lines += ["", *self._method(function, inner, portal)]
        return lines

    def _method(self, function: ast.FunctionDef | ast.AsyncFunctionDef, inner: str, portal: str) -> list[str]:
        assert function.returns is not None
        call = _Call(f"{inner}.{function.name}", tuple(self.arguments(function.name)))
        answer = self._segment(function.returns)
        kind = answer.partition("[")[0]
        if kind == _GENERATOR:
            assert isinstance(function.returns, ast.Subscript) and isinstance(function.returns.slice, ast.Tuple)
            answer = f"Stream[{self._segment(function.returns.slice.elts[0])}]"
            call = _Call("Stream", (portal, call))
        elif isinstance(function, ast.AsyncFunctionDef):
            call = _Call(f"{portal}.call", (call,))
        if kind == "Handle":
            call = _Call(self._handle, (portal, call))
        self.used |= set(_names(function.returns)) - {_GENERATOR}
        parameters = self.parameters(function.name)
        head = [f"    def {function.name}(", "        self,", *parameters, f"    ) -> {answer}:"]
        return [*head, *self._docstring(function), *call.lines("        return ")]

    def _parameter(self, argument: ast.arg, default: ast.expr | None) -> str:
        assert argument.annotation is not None
        self.used |= set(_names(argument.annotation))
        value = "" if default is None else f" = {self._segment(default)}"
        return f"        {argument.arg}: {self._segment(argument.annotation)}{value},"

    def _segment(self, node: ast.expr) -> str:
        # As `ast.get_source_segment`, which splits the whole text each time; columns count bytes.
        assert node.end_lineno is not None
        lines = [line.encode() for line in self._lines[node.lineno - 1 : node.end_lineno]]
        lines[-1] = lines[-1][: node.end_col_offset]
        lines[0] = lines[0][node.col_offset :]
        return " ".join(b" ".join(lines).decode().split())

    def _docstring(self, node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
        first = node.body[0]
        if not isinstance(first, ast.Expr) or first.end_lineno is None:
            return []
        return self._lines[first.lineno - 1 : first.end_lineno]


@dataclass(frozen=True, slots=True)
class _Call:
    """A call as an expression; arguments are text, or calls themselves."""

    function: str
    arguments: tuple[str | _Call, ...]

    def __str__(self) -> str:
        return f"{self.function}({', '.join(map(str, self.arguments))})"

    def lines(self, before: str, after: str = "") -> list[str]:
        """On one line behind `before` where it fits, else an argument a line."""
        line = f"{before}{self}{after}"
        if len(line) <= WIDTH:
            return [line]
        margin = " " * (len(before) - len(before.lstrip()) + 4)
        inside: list[str] = []
        for argument in self.arguments:
            inside += argument.lines(margin, ",") if isinstance(argument, _Call) else [f"{margin}{argument},"]
        return [f"{before}{self.function}(", *inside, f"{margin[4:]}){after}"]


def _names(node: ast.expr) -> Iterator[str]:
    return (each.id for each in ast.walk(node) if isinstance(each, ast.Name))


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
