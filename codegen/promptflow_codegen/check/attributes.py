"""Fields that filters look at in each item of a list: `sort(attribute='age')`, `selectattr('name')`."""

from __future__ import annotations

from jinja2 import nodes

from promptflow_codegen.check.filter_types import FilterMisfitError
from promptflow_codegen.check.scope import Scope, ScopeError
from promptflow_codegen.template_filters import words
from promptflow_core.types import ListType, ValueType

_FIRST_ARGUMENT = words("groupby rejectattr selectattr")
_PLACES = {"join": 1, "sum": 0, "max": 1, "min": 1, "unique": 1, "sort": 2}


def check_attributes(node: nodes.Filter, given: ValueType | None, scope: Scope) -> None:
    """Check that the items of a list have the fields that a filter looks at.

    Raises:
        FilterMisfitError: they have not.
    """
    if not isinstance(given, ListType) or any(keyword.key == "default" for keyword in node.kwargs):
        return
    match _attribute(node):
        case nodes.Const(value=str() as name) if name:
            # Jinja sorts by several at once; the other filters take one.
            for path in name.split(",") if node.name == "sort" else (name,):
                _walk(given.element, path, node.lineno, scope)
        case _:
            pass


def _attribute(node: nodes.Filter) -> nodes.Expr | None:
    named = next((keyword.value for keyword in node.kwargs if keyword.key == "attribute"), None)
    if named is not None:
        return named
    place = 0 if node.name in _FIRST_ARGUMENT else _PLACES.get(node.name)
    return None if place is None or len(node.args) <= place else node.args[place]


def _walk(element: ValueType, path: str, offset: int, scope: Scope) -> None:
    value: ValueType | None = element
    for part in path.split("."):
        try:
            value = scope.member(value, int(part) if part.isdecimal() else part, offset)
        except ScopeError as error:
            message = error.message.replace("`(…)`", "an item of the list", 1)
            raise FilterMisfitError(error.code, message, error.hint) from None
