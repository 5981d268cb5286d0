"""What filters and methods yield, as far as that is certain, and what they cannot work on."""

from __future__ import annotations

from collections.abc import Sequence

from jinja2 import nodes

from promptflow_codegen.check.type_classes import (
    in_text_hint,
    is_boolean,
    is_number,
    is_printable,
    is_text,
    merged,
)
from promptflow_codegen.template_filters import words
from promptflow_codegen.template_syntax import nearest
from promptflow_core.types import SCALARS, FieldType, ListType, MapType, ObjectType, ValueType, spelling

_STRING, _INTEGER, _NUMBER = SCALARS["string"], SCALARS["integer"], SCALARS["number"]

_TEXTS = words(
    "capitalize filesizeformat indent join lower replace string title tojson trim truncate upper urlencode wordwrap"
)
_COUNTS = words("count int length wordcount")
_SAME_LIST = words("list reject rejectattr select selectattr sort unique")
_ONE_ITEM = words("first last max min")
_OF_LISTS = words(
    "batch first groupby join last list map max min reject rejectattr reverse select selectattr slice sort sum unique "
    "with_field"
)
_OF_TEXTS = words("capitalize indent lower replace title trim truncate upper wordcount wordwrap")
_OF_NUMBERS = words("abs round")
_OF_MAPPINGS = words("dictsort items")
_OF_SIZES = words("count length")
_SINGLE = frozenset(SCALARS[name] for name in ("timestamp", "duration", "file"))
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
    check_operand(name, given)
    if name == "join" and isinstance(given, ListType):
        _check_joined(node, given.element)
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


def check_operand(name: str, given: ValueType | None) -> None:
    """Check that a filter can work on values of a type.

    Raises:
        FilterMisfitError: it can only fail, or show what nobody wants to read.
    """
    if given is None:
        return
    is_single = is_number(given) or is_boolean(given) or given in _SINGLE
    if name == "sentences" and not is_text(given) and given != SCALARS["json"]:
        raise FilterMisfitError("type-mismatch", f"`sentences` splits a text, not {spelling(given)}")
    if name in _OF_SIZES and is_single:
        raise FilterMisfitError("type-mismatch", f"{spelling(given)} has no length")
    if name in _OF_LISTS and is_single:
        raise FilterMisfitError("type-mismatch", f"`{name}` goes over a list, not {spelling(given)}")
    if name == "sum" and isinstance(given, ListType) and is_text(given.element):
        raise FilterMisfitError("type-mismatch", "`sum` adds numbers, not texts", "`join` puts texts together")
    if name in _OF_TEXTS and (not is_printable(given) or given in _SINGLE):
        message = f"`{name}` works on texts, not on {spelling(given)}"
        raise FilterMisfitError("type-mismatch", message, _text_hint(name, given))
    if given != SCALARS["json"]:
        _check_class(name, given)


def _check_class(name: str, given: ValueType) -> None:
    has_sign = is_number(given) or is_boolean(given) or (name == "abs" and given == SCALARS["duration"])
    if name in _OF_NUMBERS and not has_sign:
        hint = "`| float` makes a number of a text" if is_text(given) else ""
        raise FilterMisfitError("type-mismatch", f"`{name}` works on numbers, not on {spelling(given)}", hint)
    if name in _OF_MAPPINGS and not isinstance(given, MapType | ObjectType):
        raise FilterMisfitError("type-mismatch", f"`{name}` works on maps and objects, not on {spelling(given)}")


def _check_joined(node: nodes.Filter, element: ValueType) -> None:
    names_field = len(node.args) > 1 or any(keyword.key == "attribute" for keyword in node.kwargs)
    if not names_field and not is_printable(element):
        message = f"`join` puts texts together, not {spelling(element)}"
        hint = "`join(', ', attribute='…')`" if isinstance(element, ObjectType) else in_text_hint(element)
        raise FilterMisfitError("type-mismatch", message, hint)


def _text_hint(name: str, given: ValueType) -> str:
    return f"`| map('{name}')` works on each" if isinstance(given, ListType) else in_text_hint(given)


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
