"""What a template may do: the operators, filters, tests and methods that are pure, repeatable and bounded.

What is absent is absent for a reason: `random` would make a replay differ, `set` and `namespace` can double a text
thousands of times, `center`, `ljust` or `"%9999999d"` make a huge one out of nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import ItemsView, KeysView, Mapping, Sized, ValuesView
from datetime import datetime, timedelta
from typing import Any

from jinja2 import StrictUndefined
from jinja2.exceptions import FilterArgumentError, SecurityError
from jinja2.filters import do_batch, do_indent, do_round, sync_do_slice
from jinja2.runtime import Context, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from promptflow_codegen.template_filters import sentences, with_field, words
from promptflow_core.coercion import why_no_json

MAX_TEXT = 16 << 20
"""Characters or items that one operation may produce."""

MAX_RANGE = 1_000
MAX_BITS = 4096

METHODS = words(
    "capitalize casefold count endswith find get index isalpha isdigit isoformat islower isspace isupper items keys "
    "lower lstrip partition removeprefix removesuffix rfind rpartition rsplit rstrip split splitlines startswith strip "
    "title total_seconds upper values"
)
FILTERS = words(
    "abs capitalize count d default dictsort filesizeformat first float groupby int items last length list lower map "
    "max min reject rejectattr reverse select selectattr sort string title trim truncate unique upper urlencode "
    "wordcount wordwrap"
)

_WIDE_FORMAT = re.compile(r"%[^%a-zA-Z]*(\d{4}|\*)")


class TemplateLimitError(SecurityError):
    """An operation that would grow without bound."""


class FlowEnvironment(ImmutableSandboxedEnvironment):
    """Jinja2 as flows use it: undefined is an error, a key of a mapping comes before a method of that name."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self) -> None:
        super().__init__(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)
        self.finalize = text_of
        self.globals = {"range": _range, "dict": dict}
        shipped = {name: self.filters[name] for name in FILTERS}
        self.filters = {**shipped, **_BOUNDED_FILTERS, "sentences": sentences, "with_field": with_field}

    def getattr(self, obj: Any, attribute: str) -> Any:
        """A field of a mapping, or an allowed attribute."""
        if isinstance(obj, Mapping) and attribute in obj:
            return obj[attribute]  # pyright: ignore[reportUnknownVariableType]
        return super().getattr(obj, attribute)

    def wrap_str_format(self, value: Any) -> None:
        """Nothing: `"{:>9999999}".format(1)` pads without bound, so that `format` is no method here."""

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Data, and the methods that are listed."""
        return super().is_safe_attribute(obj, attr, value) and (not callable(value) or attr in METHODS)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """The operators that could make much out of little, with a bound on their result."""
        check_growth(operator, left, right)
        return super().call_binop(context, operator, left, right)


def check_growth(operator: str, left: Any, right: Any) -> None:
    """Check the size of what an operator would make.

    Raises:
        TemplateLimitError: it would be too large.
    """
    match operator, left, right:
        case "**", int(), int():
            _check_size(abs(left).bit_length() * max(right, 0), MAX_BITS)
        case "*", int(), int():
            _check_size(left.bit_length() + right.bit_length(), MAX_BITS)
        case "*", int(), Sized():
            _check_size(left * len(right))
        case "*", Sized(), int():
            _check_size(len(left) * right)
        case "+", Sized(), Sized():
            _check_size(len(left) + len(right))
        case "%", str(), _ if _WIDE_FORMAT.search(left):
            raise TemplateLimitError("a format pads to at most 999 characters")
        case _:
            pass


def _check_size(size: int, limit: int = MAX_TEXT) -> None:
    if size > limit:
        raise TemplateLimitError(f"the result of one operation would be {size} long; the limit is {limit}")


def _range(*bounds: int) -> range:
    numbers = range(*bounds)
    _check_size(len(numbers), MAX_RANGE)
    return numbers


def _batch(value: Any, linecount: int, fill_with: Any = None) -> Any:
    _check_size(linecount, MAX_RANGE)
    return do_batch(value, linecount, fill_with)


def _slice(value: Any, slices: int, fill_with: Any = None) -> Any:
    _check_size(slices, MAX_RANGE)
    return sync_do_slice(value, slices, fill_with)


def _indent(text: str, width: int = 4, *, first: bool = False, blank: bool = False) -> str:
    _check_size(width, 100)
    return str(do_indent(text, width, first, blank))


def _join(items: Any, separator: str = "", attribute: str | None = None) -> str:
    if attribute is not None:
        items = (_field(item, attribute) for item in items)
    texts = [str(text_of(item)) for item in items]
    _check_size(sum(map(len, texts)) + len(separator) * len(texts))
    return separator.join(texts)


def _field(item: Any, name: str) -> Any:
    if not isinstance(item, Mapping) or name not in item:
        return StrictUndefined(name=name)
    return item[name]  # pyright: ignore[reportUnknownVariableType]


def _replace(text: Any, old: str, new: str, count: int | None = None) -> str:
    whole = str(text)
    _check_size(len(whole) + whole.count(old) * len(new))
    return whole.replace(old, new, -1 if count is None else count)


def _round(value: float, precision: int = 0, method: Any = "common") -> float:
    _check_size(abs(precision), 308)
    return do_round(value, precision, method)


def _sum(items: Any, attribute: str | None = None, start: float = 0) -> float:
    """The sum of numbers; lists would be copied once per item."""
    total = start
    for item in items if attribute is None else (_field(item, attribute) for item in items):
        if isinstance(item, bool) or not isinstance(item, int | float | Undefined):
            raise TypeError(f"`sum` adds numbers, not {type(item).__name__}")
        total += item
    return total


def text_of(value: Any) -> Any:
    """What a text shows of a value: timestamps in ISO 8601 and durations as flow files spell them."""
    match value:
        case datetime():
            return value.isoformat()
        case timedelta():
            whole, micros = divmod(abs(value) // timedelta(microseconds=1), 1_000_000)
            fraction = f".{micros:06}".rstrip("0") if micros else ""
            return f"{'-' if value < timedelta() else ''}{whole}{fraction}s"
        case _:
            return value


def _string(value: Any) -> str:
    return str(text_of(value))


def _tojson(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=_plain)


def _plain(value: Any) -> Any:
    """What json has no notation for: lists in other guises are lists, nothing else is anything."""
    if isinstance(value, Undefined):
        str(value)  # which says what is not there
    if hasattr(value, "__next__") or isinstance(value, range | KeysView | ValuesView | ItemsView):
        return list(value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    raise FilterArgumentError(f"`tojson` fails: {why_no_json(value)}")


_BOUNDED_FILTERS: Mapping[str, Any] = {
    "batch": _batch,
    "indent": _indent,
    "join": _join,
    "replace": _replace,
    "round": _round,
    "slice": _slice,
    "string": _string,
    "sum": _sum,
    "tojson": _tojson,
}
