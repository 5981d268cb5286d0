"""Calls of filters, tests and methods, held against what these take: names, and the number and names of arguments."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from jinja2 import nodes

from promptflow_codegen.check.filter_types import FilterMisfitError, check_operand
from promptflow_codegen.template_sandbox import METHODS, FlowEnvironment
from promptflow_codegen.template_syntax import nearest
from promptflow_core.types import EnumType, Kind, ListType, MapType, ObjectType, ScalarType, ValueType, spelling

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_KEYWORD = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)

_TEXT = frozenset(name for name in METHODS if hasattr(str, name))
_MAPPING = frozenset(name for name in METHODS if hasattr(dict, name))
_LIST = frozenset(name for name in METHODS if hasattr(list, name))
_OF_SCALARS: Mapping[Kind, frozenset[str]] = {
    Kind.STRING: _TEXT,
    Kind.INTEGER: frozenset(),
    Kind.INT32: frozenset(),
    Kind.NUMBER: frozenset(),
    Kind.BOOLEAN: frozenset(),
    Kind.BYTES: frozenset(name for name in METHODS if hasattr(bytes, name)),
    Kind.FILE: frozenset(),
    Kind.TIMESTAMP: frozenset({"isoformat"}),
    Kind.DURATION: frozenset({"total_seconds"}),
}
ARGUMENTS: Mapping[str, tuple[int, int]] = {
    **dict.fromkeys(("partition", "removeprefix", "removesuffix", "rpartition"), (1, 1)),
    **dict.fromkeys(("count", "endswith", "find", "index", "rfind", "startswith"), (1, 3)),
    **dict.fromkeys(("lstrip", "rstrip", "splitlines", "strip"), (0, 1)),
    **dict.fromkeys(("isoformat", "rsplit", "split"), (0, 2)),
    "get": (1, 2),
}
"""How many arguments methods take, at least and at most; those that are not here take none."""
_METHOD_KEYWORDS: Mapping[str, tuple[str, ...]] = {
    "isoformat": ("sep", "timespec"),
    "rsplit": ("sep", "maxsplit"),
    "split": ("sep", "maxsplit"),
    "splitlines": ("keepends",),
}


def check_filter(node: nodes.Filter, given: ValueType | None, environment: FlowEnvironment) -> None:
    """Check how a filter is called.

    Raises:
        FilterMisfitError: it can only fail.
    """
    if node.dyn_args is not None or node.dyn_kwargs is not None:
        return
    keywords = [str(keyword.key) for keyword in node.kwargs]
    match node.name:
        case "map":
            _check_map(node, given, environment)
        case "select" | "reject":
            _check_inner_test(node.args, keywords, environment)
        case "selectattr" | "rejectattr":
            if not node.args:
                raise _misuse(f"`{node.name}` lacks the name of the attribute that it looks at")
            _check_inner_test(node.args[1:], keywords, environment)
        case _:
            _check_arguments(node.name, environment.filters[node.name], len(node.args), keywords)
    if node.name == "truncate":
        _check_truncate(node)


def check_test(node: nodes.Test, environment: FlowEnvironment) -> None:
    """Check how a test is called.

    Raises:
        FilterMisfitError: it can only fail.
    """
    if node.dyn_args is None and node.dyn_kwargs is None:
        keywords = [str(keyword.key) for keyword in node.kwargs]
        _check_arguments(node.name, environment.tests[node.name], len(node.args), keywords)


def check_method(node: nodes.Call, name: str, owner: ValueType | None, environment: FlowEnvironment) -> None:
    """Check a call of a method of a value of a known type.

    Raises:
        FilterMisfitError: it can only fail.
    """
    known = _methods_of(owner)
    if owner is None or known is None:
        return
    field = owner.field(name) if isinstance(owner, ObjectType) else None
    if field is not None:
        if name not in known or field.required or field.default is not None:
            raise _misuse(f"`{name}` is {spelling(field.type)}, which cannot be called", "write it without `()`")
        return
    if name not in known:
        raise FilterMisfitError(
            "unknown-method", f"{spelling(owner)} has no method `{name}`", _method_hint(name, known, environment)
        )
    if node.dyn_args is None and node.dyn_kwargs is None:
        _check_method_arguments(name, len(node.args), [str(keyword.key) for keyword in node.kwargs])


def _methods_of(owner: ValueType | None) -> frozenset[str] | None:
    match owner:
        case EnumType():
            return _TEXT
        case ListType():
            return _LIST
        case MapType() | ObjectType():
            return _MAPPING
        case ScalarType(scalar=kind):
            return _OF_SCALARS.get(kind)
        case _:
            return None


def _method_hint(name: str, known: frozenset[str], environment: FlowEnvironment) -> str:
    if name in environment.filters:
        return f"`{name}` is a filter: `… | {name}`"
    close = nearest(name, known)
    if close:
        return f"did you mean `{close}`?"
    return f"its methods: {', '.join(sorted(known))}" if known else "it has none"


def _check_method_arguments(name: str, given: int, keywords: Sequence[str]) -> None:
    least, most = ARGUMENTS.get(name, (0, 0))
    taken = _METHOD_KEYWORDS.get(name, ())
    for keyword in keywords:
        if keyword not in taken:
            raise _unknown_argument(name, keyword, taken)
    if not least <= given + len(keywords) <= most:
        raise _misuse(f"`{name}` takes {_amount(least, most)}, not {given + len(keywords)}")


def _check_map(node: nodes.Filter, given: ValueType | None, environment: FlowEnvironment) -> None:
    keywords = [str(keyword.key) for keyword in node.kwargs]
    if not node.args:
        if "attribute" not in keywords:
            raise _misuse("`map` lacks the filter that it applies", "write `map('upper')` or `map(attribute='name')`")
        for keyword in keywords:
            if keyword not in ("attribute", "default"):
                raise _unknown_argument("map", keyword, ("attribute", "default"))
        return
    match node.args[0]:
        case nodes.Const(value=str() as name):
            _check_known(name, "filter", environment.filters)
            if name not in ("map", "select", "reject", "selectattr", "rejectattr"):
                _check_arguments(name, environment.filters[name], len(node.args) - 1, keywords)
            if isinstance(given, ListType):
                check_operand(name, given.element)
        case _:
            pass


def _check_inner_test(arguments: Sequence[nodes.Expr], keywords: Sequence[str], environment: FlowEnvironment) -> None:
    match arguments:
        case [nodes.Const(value=str() as name), *others]:
            _check_known(name, "test", environment.tests)
            _check_arguments(name, environment.tests[name], len(others), keywords)
        case _:
            pass


def _check_known(name: str, what: str, known: Mapping[str, Any]) -> None:
    if name not in known:
        close = nearest(name, known)
        listed = ", ".join(sorted(filter(str.isidentifier, known)))
        hint = f"did you mean `{close}`?" if close else f"{what}s are {listed}"
        raise FilterMisfitError(f"unknown-{what}", f"unknown {what} `{name[:80]}`", hint)


def _check_truncate(node: nodes.Filter) -> None:
    named = {str(keyword.key): keyword.value for keyword in node.kwargs}
    length = node.args[0] if node.args else named.get("length")
    end = node.args[2] if len(node.args) > 2 else named.get("end", nodes.Const("..."))
    match length, end:
        case nodes.Const(value=int() as characters), nodes.Const(value=str() as tail) if characters < len(tail):
            message = f"`truncate` to {characters} characters has no room for its end, `{tail[:40]}`"
            raise _misuse(message, f"write `truncate({characters}, end='')`")
        case _:
            pass


def _check_arguments(name: str, function: Any, given: int, keywords: Sequence[str]) -> None:
    parameters = _parameters(function)
    if parameters is None or any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters):
        return
    positional = [parameter for parameter in parameters if parameter.kind in _POSITIONAL]
    named = [parameter.name for parameter in parameters if parameter.kind in _KEYWORD]
    if given > len(positional):
        least = sum(parameter.default is parameter.empty for parameter in positional)
        raise _misuse(f"`{name}` takes {_amount(least, len(positional))}, not {given}")
    for keyword in keywords:
        if keyword not in named:
            raise _unknown_argument(name, keyword, named)
    filled = [parameter.name for parameter in positional[:given]]
    for parameter in parameters:
        if parameter.name in filled and parameter.name in keywords:
            raise _misuse(f"`{name}` is given its argument `{parameter.name}` twice")
        if parameter.default is parameter.empty and parameter.name not in (*filled, *keywords):
            raise _misuse(f"`{name}` lacks its argument `{parameter.name}`")


@lru_cache(maxsize=256)
def _parameters(function: Callable[..., Any]) -> tuple[inspect.Parameter, ...] | None:
    """What a filter or test takes beside the value that it works on; None where Python does not tell."""
    try:
        parameters = tuple(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return None
    return parameters[2 if hasattr(function, "jinja_pass_arg") else 1 :]


def _amount(least: int, most: int) -> str:
    if most == 0:
        return "no arguments"
    counted = str(most) if least == most else f"{least} to {most}"
    return f"{counted} argument{'' if most == 1 else 's'}"


def _unknown_argument(name: str, keyword: str, known: Sequence[str]) -> FilterMisfitError:
    close = nearest(keyword, known)
    hint = f"did you mean `{close}`?" if close else (f"its arguments: {', '.join(known)}" if known else "")
    return _misuse(f"`{name}` has no argument `{keyword[:80]}`", hint)


def _misuse(message: str, hint: str = "") -> FilterMisfitError:
    return FilterMisfitError("bad-call", message, hint)
