"""Parts of templates that read nothing and can only fail, found by evaluating them: `1 / 0`, `[1, 2][5]`.

Only what is small is evaluated: whatever a template says, this takes no longer than reading it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Sized
from typing import Any, cast

from jinja2 import TemplateRuntimeError, nodes
from jinja2.exceptions import FilterArgumentError
from jinja2.runtime import Undefined

from promptflow_codegen.template_filters import words
from promptflow_codegen.template_sandbox import MAX_BITS, FlowEnvironment, check_growth

Say = Callable[[str, int], None]

_MAX_LENGTH = 2_000
_INT64 = range(-(2**63), 2**64)
"""What can be stored: unsigned where it is positive."""
_FILTERS = words(
    "abs capitalize count filesizeformat first float int last length list lower max min reverse sentences sort "
    "string sum title trim unique upper"
)
_FAILURES = (ArithmeticError, FilterArgumentError, LookupError, TypeError, ValueError, TemplateRuntimeError)


class _UnknownError(Exception):
    """Only the run can tell."""


class NothingType:
    """Of `NOTHING`: no value is known."""


NOTHING = NothingType()


def value_of(node: nodes.Node, environment: FlowEnvironment) -> Any:
    """The value of an expression that reads nothing; `NOTHING` where it reads something, is large, or fails."""
    try:
        return _evaluate(node, environment)
    except (_UnknownError, *_FAILURES):
        return NOTHING


def outcomes(node: nodes.Expr) -> Iterator[nodes.Expr]:
    """The expressions of which one is what `node` yields."""
    match node:
        case nodes.CondExpr(expr1=kept, expr2=nodes.Expr() as other):
            yield from outcomes(kept)
            yield from outcomes(other)
        case nodes.Filter(name="default" | "d", node=nodes.Expr() as inner, args=[fallback, *_]):
            yield from outcomes(inner)
            yield from outcomes(fallback)
        case _:
            yield node


def is_too_large(value: Any) -> bool:
    """Whether a value has a number in it that cannot be stored."""
    if isinstance(value, list):
        return any(map(is_too_large, value))  # pyright: ignore[reportUnknownArgumentType]
    return isinstance(value, int) and value not in _INT64


def find_failures(body: Sequence[nodes.Node], environment: FlowEnvironment, say: Say) -> None:
    """Tell each part of some statements that fails whenever it is reached, and that is always reached."""
    for statement in body:
        match statement:
            case nodes.Output(nodes=parts):
                for part in parts:
                    _fails(part, environment, say)
            case nodes.If():
                _fails(statement.test, environment, say)
            case nodes.For():
                _fails(statement.iter, environment, say)
            case _:
                pass


def _fails(node: nodes.Node, environment: FlowEnvironment, say: Say) -> bool:
    """Whether `node` or something inside fails, which is told once, for the innermost."""
    # All are looked at: each may have a mistake of its own.
    inner = [_fails(child, environment, say) for child in _always_evaluated(node)]
    if any(inner):
        return True
    try:
        value = _evaluate(node, environment)
    except _UnknownError:
        return False
    except _FAILURES as error:
        say(f"this can only fail: {error or type(error).__name__}", node.lineno or 0)
        return True
    if isinstance(value, Undefined):
        say("this can only fail: the value is never there", node.lineno or 0)
        return True
    return False


def _always_evaluated(node: nodes.Node) -> list[nodes.Node]:
    match node:
        case nodes.And() | nodes.Or():
            return [node.left]
        case nodes.CondExpr():
            return [node.test]
        case nodes.Filter(name="default" | "d") | nodes.Test():
            return []  # they take what is not there for an answer
        case _:
            return list(node.iter_child_nodes())


def _evaluate(node: nodes.Node, environment: FlowEnvironment) -> Any:
    match node:
        case nodes.Const(value=value) | nodes.TemplateData(data=value):
            result: Any = value
        case nodes.List(items=items) | nodes.Tuple(items=items):
            result = [_evaluate(item, environment) for item in items]
        case nodes.Not(node=inner):
            result = not _evaluate(inner, environment)
        case nodes.Neg(node=inner):
            result = -_evaluate(inner, environment)
        case nodes.Add() | nodes.Sub() | nodes.Mul() | nodes.Div() | nodes.FloorDiv() | nodes.Mod() | nodes.Pow():
            result = _calculated(node, _evaluate(node.left, environment), _evaluate(node.right, environment))
        case nodes.Call(node=nodes.Name(name="range"), args=bounds, kwargs=[], dyn_args=None, dyn_kwargs=None):
            result = cast("Callable[..., Any]", environment.globals["range"])(
                *(_evaluate(bound, environment) for bound in bounds)
            )
        case nodes.Getitem(node=owner, arg=argument) if not isinstance(argument, nodes.Slice):
            result = environment.getitem(_evaluate(owner, environment), _evaluate(argument, environment))
        case nodes.Filter(name=name, node=inner, args=[], kwargs=[]) if inner is not None and name in _FILTERS:
            result = _filtered(name, _evaluate(inner, environment), environment)
        case _:
            raise _UnknownError
    return _small(result)


def _filtered(name: str, value: Any, environment: FlowEnvironment) -> Any:
    call = cast("Callable[..., Any]", environment.filters[name])
    wanted: Any = getattr(call, "jinja_pass_arg", None)
    if wanted is None:
        return call(value)
    if wanted.name != "environment":
        raise _UnknownError
    return call(environment, value)


def _calculated(node: nodes.BinExpr, left: Any, right: Any) -> Any:
    check_growth(node.operator, left, right)
    is_large = isinstance(left, Sized) or isinstance(right, Sized)
    if is_large and isinstance(node, nodes.Mul | nodes.Mod):
        raise _UnknownError
    return _OPERATIONS[node.operator](left, right)


_OPERATIONS: Mapping[str, Callable[[Any, Any], Any]] = {
    "+": lambda left, right: left + right,
    "-": lambda left, right: left - right,
    "*": lambda left, right: left * right,
    "/": lambda left, right: left / right,
    "//": lambda left, right: left // right,
    "%": lambda left, right: left % right,
    "**": lambda left, right: left**right,
}


def _small(value: Any) -> Any:
    """The value, unless handling many of its like would take long."""
    if hasattr(value, "__next__"):
        value = list(value)
    if isinstance(value, int) and value.bit_length() > MAX_BITS:
        raise _UnknownError
    if isinstance(value, Sized) and not isinstance(value, Undefined) and len(value) > _MAX_LENGTH:
        raise _UnknownError
    return value
