"""What filters and methods yield, as far as that is certain, and what they cannot work on."""

from __future__ import annotations

from collections.abc import Sequence

from jinja2 import nodes

from promptflow_codegen.check.type_classes import is_boolean, is_number, is_text, merged
from promptflow_codegen.template_filters import words
from promptflow_codegen.template_syntax import nearest
from promptflow_core.types import SCALARS, FieldType, ListType, ObjectType, ValueType, spelling

_STRING, _INTEGER, _NUMBER = SCALARS["string"], SCALARS["integer"], SCALARS["number"]

_TEXTS = words(
    "capitalize filesizeformat indent join lower replace string title tojson trim truncate upper urlencode wordwrap"
)
_COUNTS = words("count int length wordcount")
_SAME_LIST = words("list reject rejectattr select selectattr sort unique")
_ONE_ITEM = words("first last max min")
_OF_LISTS = words("batch first join last list max min slice sort sum unique with_field")
_OF_SIZES = words("count length")
_STRING_METHODS = words("capitalize casefold lower lstrip removeprefix removesuffix rstrip strip title upper")
_LIST_METHODS = words("rsplit split splitlines")
_TRUTH_METHODS = words("endswith isalpha isdigit islower isspace isupper startswith")


class FilterMisfitError(ValueError):
    """A filter on a value that it cannot work on."""

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code, self.message, self.hint = code, message, hint


def filter_type(node: nodes.Filter, given: ValueType | None, arguments: Sequence[ValueType | None]) -> ValueType | None:
    """The type that a filter yields.

    Raises:
        FilterMisfitError: it can only fail.
    """
    name = node.name
    _check_operand(name, given)
    if name in ("default", "d"):
        return _default(node, given, arguments)
    if name in _TEXTS:
        return _STRING
    if name in _COUNTS:
        return _INTEGER
    if name in ("float", "round", "sum"):
        return _NUMBER
    if name == "sentences":
        return ListType(_STRING)
    if name == "map":
        return _map(node, given)
    if name == "with_field":
        return _with_field(node, given, arguments)
    return _same_or_item(name, given)


def method_type(name: str, owner: ValueType | None) -> ValueType | None:
    """The type that a method of a text yields; None for any other."""
    if not is_text(owner):
        return None
    if name in _STRING_METHODS:
        return _STRING
    if name in _LIST_METHODS:
        return ListType(_STRING)
    if name in _TRUTH_METHODS:
        return SCALARS["boolean"]
    return _INTEGER if name in ("count", "find", "rfind") else None


def _check_operand(name: str, given: ValueType | None) -> None:
    if given is None:
        return
    is_single = is_number(given) or is_boolean(given)
    if name == "sentences" and not is_text(given) and given != SCALARS["json"]:
        raise FilterMisfitError("type-mismatch", f"`sentences` splits a text, not {spelling(given)}")
    if name in _OF_SIZES and is_single:
        raise FilterMisfitError("type-mismatch", f"{spelling(given)} has no length")
    if name in _OF_LISTS and is_single:
        raise FilterMisfitError("type-mismatch", f"`{name}` goes over a list, not {spelling(given)}")
    if name == "sum" and isinstance(given, ListType) and is_text(given.element):
        raise FilterMisfitError("type-mismatch", "`sum` adds numbers, not texts", "`join` puts texts together")


def _default(node: nodes.Filter, given: ValueType | None, arguments: Sequence[ValueType | None]) -> ValueType | None:
    if not arguments:
        return given if is_text(given) else None
    match node.args[0]:
        case nodes.Const(value=None) | nodes.List(items=[]) | nodes.Dict(items=[]):
            return given
        case _:
            return merged(given, arguments[0])


def _map(node: nodes.Filter, given: ValueType | None) -> ValueType | None:
    if not isinstance(given, ListType):
        return None
    element = given.element
    attribute = next((keyword.value for keyword in node.kwargs if keyword.key == "attribute"), None)
    match attribute:
        case nodes.Const(value=str() as name) if isinstance(element, ObjectType) and "." not in name:
            return _field_list(element, name, has_default=any(keyword.key == "default" for keyword in node.kwargs))
        case None:
            match node.args:
                case [nodes.Const(value=str() as inner)] if inner in _TEXTS:
                    return ListType(_STRING)
                case [nodes.Const(value=str() as inner)] if inner in _COUNTS:
                    return ListType(_INTEGER)
                case _:
                    return None
        case _:
            return None


def _field_list(element: ObjectType, name: str, *, has_default: bool) -> ValueType | None:
    field = element.field(name)
    if field is not None:
        return ListType(field.type)
    if has_default:
        return None
    names = [candidate.name for candidate in element.fields]
    close = nearest(name, names)
    hint = f"did you mean `{close}`?" if close else f"its fields: {', '.join(names)}"
    raise FilterMisfitError("unknown-field", f"an item of the list has no field `{name}`", hint)


def _with_field(node: nodes.Filter, given: ValueType | None, arguments: Sequence[ValueType | None]) -> ValueType | None:
    match given, node.args, arguments:
        case ListType(element=ObjectType(fields=fields)), [nodes.Const(value=str() as name), _], [
            _,
            ListType() as values,
        ]:
            kept = tuple(field for field in fields if field.name != name)
            return ListType(ObjectType((*kept, FieldType(name, values.element, required=True))))
        case _:
            return None


def _same_or_item(name: str, given: ValueType | None) -> ValueType | None:
    if name in _SAME_LIST or name == "reverse":
        if isinstance(given, ListType):
            return given
        return _STRING if name == "reverse" and is_text(given) else None
    if name in _ONE_ITEM and isinstance(given, ListType):
        return given.element
    return given if name == "abs" and is_number(given) else None
