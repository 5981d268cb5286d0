"""What methods are said to take is what they take."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from promptflow_codegen.check.calls import ARGUMENTS
from promptflow_codegen.template_sandbox import METHODS

VALUES: Sequence[Any] = ("some text", {"a": 1}, datetime(2020, 1, 1, tzinfo=UTC), timedelta(seconds=90))


def _owner(name: str) -> Any:
    return next(value for value in VALUES if hasattr(value, name))


@pytest.mark.parametrize("name", sorted(METHODS))
def test_a_method_takes_neither_fewer_nor_more_arguments_than_is_said(name: str) -> None:
    method = getattr(_owner(name), name)
    least, most = ARGUMENTS.get(name, (0, 0))
    given = {"isoformat": ("T", "seconds"), "split": (" ", 1), "rsplit": (" ", 1), "splitlines": (True,)}
    arguments = given.get(name, (" ", 0, 9))
    method(*arguments[:least])
    method(*arguments[:most])
    with pytest.raises(TypeError):
        method(*arguments[:most], *(arguments[-1],))
    if least:
        with pytest.raises(TypeError):
            method(*arguments[: least - 1])
