"""An asynchronous class, read from its text, whose methods are written again as blocking ones.

A method that is `async def` waits for its answer; one that gives an asynchronous generator gives a `Stream`; one that
gives a handle gives a blocking handle.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from promptflow_codegen.emit.python_types import WIDTH

_GENERATOR = "AsyncGenerator"


class AsyncClass:
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
