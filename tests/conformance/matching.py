"""What a case expects, held against what came.

Mappings are subsets; null says that a field is absent. Numbers are equal within 1e-6, and 64-bit integers may come as
text. Beside plain values: `{$min: a, $max: b}`, `{$contains: text}`, `{$length: n}`, `{$timestamp: …}`,
`{$duration: …}`, `{$bytes: …}`, `{$any: true}`.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from tests.conformance.table import Case, Expected, ExpectedError, Outcome


def differences(case: Case, outcome: Outcome) -> list[str]:
    """Why an outcome is not what its case expects; empty when it is."""
    found = list(_differences(case, outcome))
    if outcome.status != "OK":
        return found
    found += _value_differences("steps", case.steps or {}, outcome.steps)
    if len(case.outcomes) != len(outcome.outcomes):
        return [*found, f"there are {len(outcome.outcomes)} outcomes, not {len(case.outcomes)}"]
    for index, (expected, one) in enumerate(zip(case.outcomes, outcome.outcomes, strict=True)):
        found += [f"outcomes[{index}]: {each}" for each in _differences(expected, one)]
    return found


def _differences(expected: Expected, outcome: Outcome) -> Iterator[str]:
    if expected.error is not None:
        yield from _error_differences(expected.error, outcome)
    elif outcome.status != "OK":
        yield f"it failed: {outcome.status} {outcome.reason}: {outcome.message} {dict(outcome.violations)}"
    elif expected.result is not None:
        yield from _value_differences("result", expected.result, outcome.result)


def duration(text: str) -> timedelta:
    """`1.5s` as the JSON form of messages writes it."""
    return timedelta(seconds=float(text.removesuffix("s")))


def _error_differences(error: ExpectedError, outcome: Outcome) -> Iterator[str]:
    expected, found = (error.status, error.reason), (outcome.status, outcome.reason)
    if expected != found:
        yield f"error is {found}: {outcome.message}, not {expected}"
    if error.message not in outcome.message:
        yield f"the message {outcome.message!r} lacks {error.message!r}"
    if error.step and error.step != outcome.step:
        yield f"it failed in step {outcome.step!r}, not {error.step!r}"
    if error.violations is not None:
        if error.violations.keys() != outcome.violations.keys():
            yield f"violations name {sorted(outcome.violations)}, not {sorted(error.violations)}"
        for path, part in error.violations.items():
            if part not in outcome.violations.get(path, ""):
                yield f"violation {path} is {outcome.violations.get(path)!r}, which lacks {part!r}"


def _value_differences(path: str, expected: Any, found: Any) -> Iterator[str]:
    if isinstance(expected, Mapping) and any(str(key).startswith("$") for key in expected):
        yield from _tag_differences(path, expected, found)
    elif isinstance(expected, Mapping):
        if not isinstance(found, Mapping):
            yield f"{path} is {found!r}, not an object"
            return
        for key, value in expected.items():
            yield from _value_differences(f"{path}.{key}", value, found.get(key))
    elif isinstance(expected, list):
        if not isinstance(found, list) or len(found) != len(expected):
            yield f"{path} is {found!r}, not a list of {len(expected)}"
            return
        for index, (one, other) in enumerate(zip(expected, found, strict=True)):
            yield from _value_differences(f"{path}[{index}]", one, other)
    elif not _is_equal(expected, found):
        yield f"{path} is {found!r}, not {expected!r}"


def _is_equal(expected: Any, found: Any) -> bool:
    if isinstance(expected, bool) or expected is None or isinstance(expected, str):
        return type(expected) is type(found) and expected == found
    try:
        return math.isclose(expected, float(found), rel_tol=1e-6) and not isinstance(found, bool)
    except (TypeError, ValueError):
        return False


def _tag_differences(path: str, expected: Mapping[str, Any], found: Any) -> Iterator[str]:
    for tag, value in expected.items():
        if not _tag_matches(tag, value, found):
            yield f"{path} is {found!r}, not {tag} {value!r}"


def _tag_matches(tag: str, value: Any, found: Any) -> bool:
    if found is None:
        return False
    match tag:
        case "$any":
            return True
        case "$min":
            return bool(float(found) >= value)
        case "$max":
            return bool(float(found) <= value)
        case "$contains":
            return bool(value in found)
        case "$length":
            return bool(len(found) == value)
        case "$timestamp":
            return datetime.fromisoformat(value) == datetime.fromisoformat(found)
        case "$duration":
            return duration(value) == duration(found)
        case "$bytes":
            return base64.b64decode(value) == base64.b64decode(found)
        case _:
            raise ValueError(f"unknown tag {tag}")
