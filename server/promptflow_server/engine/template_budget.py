"""What one template may spend: work and output. The sandbox bounds single operations, this bounds their sum.

The work decides, so that a rendering ends the same way on every machine, however busy: within a second or so.
"""

from __future__ import annotations

import operator
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sized
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import wraps
from typing import Any

from jinja2 import nodes
from jinja2.runtime import Context, Undefined
from jinja2.visitor import NodeTransformer

from promptflow_codegen.template_sandbox import FlowEnvironment, TemplateLimitError, text_of
from promptflow_core.values import FileRef, NativeValue
from promptflow_server.engine.template_costs import COMPARING, PER_ITERATION, PER_VALUE, SKIMMING, Rate, rate_of

_LOOP, _MADE, _JOINED, _READ, _COMPARED, _NO_ELSE = (
    # Names that no template can spell.
    *("\x00loop", "\x00made", "\x00joined", "\x00read", "\x00compared", "\x00no else"),
)
_COMPARISONS: Mapping[str, Callable[[Any, Any], Any]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "lteq": operator.le,
    "gt": operator.gt,
    "gteq": operator.ge,
}


@dataclass(frozen=True, slots=True)
class TemplateLimits:
    """`work` counts characters; a value or a turn of a loop weighs as much as several.

    `wall_s` stops what the work does not see; nothing else takes nearly as long.
    """

    output_bytes: int = 1 << 20
    work: int = 4_000_000
    wall_s: float = 10.0
    depth: int = 64


class Budget:
    """What is left for one rendering."""

    def __init__(self, limits: TemplateLimits, clock: Callable[[], float] = time.monotonic) -> None:
        self.limits = limits
        self.work = limits.work
        self._output = limits.output_bytes
        self._clock = clock
        self._end = clock() + limits.wall_s

    def spend(self, work: int) -> None:
        """Take from the budget.

        Raises:
            TemplateLimitError: it is used up.
        """
        self.work -= work
        if self.work < 0:
            raise TemplateLimitError(f"it makes more than {self.limits.work} characters or a fraction as many values")
        if self._clock() > self._end:
            raise TemplateLimitError(f"it takes longer than {self.limits.wall_s:g} s")

    def put_out(self, size: int) -> None:
        """Take from what the template may yield.

        Raises:
            TemplateLimitError: it is used up.
        """
        self._output -= size
        if self._output < 0:
            raise TemplateLimitError(f"it yields more than {self.limits.output_bytes} bytes")

    def measure(self, value: Any, depth: int = 0) -> None:
        """Spend what a value is worth: values inside count each time that they occur.

        Raises:
            TemplateLimitError: the budget is used up, or the value nests too deep.
        """
        if depth > self.limits.depth:
            raise TemplateLimitError(f"it nests values deeper than {self.limits.depth} levels")
        self.spend(PER_VALUE + len(value) if isinstance(value, str | bytes) else PER_VALUE)
        if isinstance(value, Mapping):
            for item in value.values():  # pyright: ignore[reportUnknownVariableType]
                self.measure(item, depth + 1)
        elif isinstance(value, list | tuple):
            for item in value:  # pyright: ignore[reportUnknownVariableType]
                self.measure(item, depth + 1)


class NotAValueError(Exception):
    """A template yields something that cannot be stored, such as a method."""


_current: ContextVar[Budget] = ContextVar("template budget")


@contextmanager
def spending(budget: Budget) -> Generator[Budget]:
    """Renderings inside, in this thread or task, spend from `budget`."""
    token = _current.set(budget)
    try:
        yield budget
    finally:
        _current.reset(token)


class BudgetedEnvironment(FlowEnvironment):
    """The templates' environment, as a renderer has it: what makes or repeats something spends from the budget."""

    def __init__(self, undefined: type[Undefined]) -> None:
        super().__init__()
        self.undefined = undefined
        own = {
            _LOOP: _counted,
            _MADE: _made,
            _JOINED: _joined,
            _READ: _read,
            _COMPARED: _compared,
            _NO_ELSE: _no_else(undefined),
        }
        self.filters = {name: _paid(function, rate_of(name)) for name, function in self.filters.items()} | own
        self.tests = {
            name: _paid(function, SKIMMING if name in COMPARING else None) for name, function in self.tests.items()
        }

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Repetition is paid for before it happens, everything else after."""
        match operator, left, right:
            case ("*", int() as times, Sized() as value) | ("*", Sized() as value, int() as times):
                _check_repetition(value, times)
                return super().call_binop(context, operator, left, right)
            case _:
                return _made(super().call_binop(context, operator, left, right))

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805 - as in Jinja2
        """A method reads its object."""
        read = (getattr(__obj, "__self__", None), *args, *kwargs.values())
        _current.get().spend(PER_VALUE + sum(map(SKIMMING.of, read)))
        return _read(super().call(__context, __obj, *args, **kwargs))


def budgeted(template: nodes.Template) -> nodes.Template:
    """The template with every loop, literal and concatenation under the budget."""
    transformed: nodes.Template = _Budgeting().visit(template)
    return transformed


def native(value: Any, budget: Budget, depth: int = 0) -> NativeValue:
    """What a template yielded as a native value: generators, tuples and views are lists.

    Raises:
        TemplateLimitError: it is too large or too deep.
        NotAValueError: it holds something else, such as a method.
        jinja2.UndefinedError: it holds something undefined.
    """
    if depth > budget.limits.depth:
        raise TemplateLimitError(f"it nests values deeper than {budget.limits.depth} levels")
    match value:
        case Undefined():
            str(value)
            raise NotAValueError("it holds something undefined")
        case None | bool() | int() | float() | FileRef():
            budget.put_out(8)
            return value
        case str() | bytes():
            budget.put_out(len(value))
            return str(value) if isinstance(value, str) else value
        case Mapping():
            return {_key(key, budget): native(item, budget, depth + 1) for key, item in _drawn(value.items(), budget)}  # pyright: ignore[reportUnknownArgumentType, reportUnknownMemberType]
        case _ if hasattr(value, "isoformat") or hasattr(value, "total_seconds"):
            budget.put_out(8)
            return value
        case Iterable():
            return [native(item, budget, depth + 1) for item in _drawn(value, budget)]  # pyright: ignore[reportUnknownArgumentType]
        case _ if callable(value):
            raise NotAValueError("it yields a method; call it with `()`")
        case _:
            raise NotAValueError(f"it yields a {type(value).__name__}, which is no value")


def _drawn(items: Iterable[Any], budget: Budget) -> Iterator[Any]:
    for item in items:
        budget.spend(PER_VALUE)
        budget.put_out(1)
        yield item


def _key(key: Any, budget: Budget) -> str:
    if not isinstance(key, str):
        raise NotAValueError(f"the keys of a mapping are strings, not {type(key).__name__}")
    budget.put_out(len(key))
    return str(key)


def _check_repetition(value: Any, times: int) -> None:
    budget = _current.get()
    if isinstance(value, str | bytes):
        budget.spend(len(value) * max(times, 0))
        return
    before = budget.work
    budget.measure(value)
    budget.spend((before - budget.work) * max(times - 1, 0))


def _counted(items: Any) -> Iterator[Any]:
    budget = _current.get()
    for item in items:
        budget.spend(PER_ITERATION)
        yield item


def _made(value: Any) -> Any:
    _current.get().measure(value)
    return value


def _paid(function: Any, rate: Rate | None) -> Any:
    """The function, which pays for what it reads before it runs and for what it answers after."""
    if rate is None:
        return function

    @wraps(function)  # Jinja looks at its marks
    def paid(*args: Any, **kwargs: Any) -> Any:
        budget = _current.get()
        budget.spend(sum(map(rate.of, args)) + sum(map(rate.of, kwargs.values())))
        result = function(*args, **kwargs)
        budget.spend(SKIMMING.of(result))
        return result

    return paid


def _read(value: Any) -> Any:
    _current.get().spend(SKIMMING.of(value))
    return value


def _compared(left: Any, comparison: str, right: Any) -> Any:
    _pay_comparison(_current.get(), left, right)
    return _COMPARISONS[comparison](left, right)


def _pay_comparison(budget: Budget, *operands: Any) -> None:
    if all(isinstance(operand, list | dict) for operand in operands):
        budget.measure(min(operands, key=len))
    else:
        budget.spend(min(map(SKIMMING.of, operands)))


def _no_else(undefined: type[Undefined]) -> Callable[[Any], Undefined]:
    return lambda _: undefined(hint="an `if` that does not hold has no `else`")


def _joined(parts: list[Any]) -> str:
    budget = _current.get()
    texts: list[str] = []
    for part in parts:
        budget.measure(part)
        texts.append(str(text_of(part)))
    return "".join(texts)


class _Budgeting(NodeTransformer):
    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        node.iter = _filtered(_LOOP, node.iter)
        return node

    def visit_List(self, node: nodes.List) -> nodes.Node:  # noqa: N802
        return self._made(node)

    def visit_Dict(self, node: nodes.Dict) -> nodes.Node:  # noqa: N802
        return self._made(node)

    def visit_Tuple(self, node: nodes.Tuple) -> nodes.Node:  # noqa: N802
        return node if node.ctx != "load" else self._made(node)

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return _filtered(_JOINED, nodes.List(node.nodes, lineno=node.lineno))

    def visit_Compare(self, node: nodes.Compare) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        first = node.ops[0]
        if len(node.ops) == 1 and first.op in _COMPARISONS:
            return _filtered(_COMPARED, node.expr, nodes.Const(first.op, lineno=node.lineno), first.expr)
        for operand in node.ops:
            operand.expr = _filtered(_READ, operand.expr)
        return node

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return _filtered(_READ, node) if isinstance(node.arg, nodes.Slice) else node

    def visit_CondExpr(self, node: nodes.CondExpr) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        if node.expr2 is None:
            # Jinja would take an empty text.
            node.expr2 = _filtered(_NO_ELSE, nodes.Const(None, lineno=node.lineno))
        return node

    def _made(self, node: nodes.Expr) -> nodes.Node:
        self.generic_visit(node)
        return _filtered(_MADE, node)


def _filtered(name: str, node: Any, *arguments: nodes.Expr) -> nodes.Filter:
    return nodes.Filter(node, name, list(arguments), [], None, None, lineno=node.lineno)
