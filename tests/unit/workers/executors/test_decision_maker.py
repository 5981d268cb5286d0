"""DecisionMaker: the first rule that holds, the default, the paths that a flow may name."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from promptflow_core.errors import FlowError, Reason
from promptflow_core.executor import ExecutionContext
from promptflow_core.type_syntax import TypeSyntaxError
from promptflow_core.types import EnumType
from promptflow_workers.executors.decision_maker import DecisionMaker


@pytest.mark.parametrize(
    ("holds", "default", "expected"),
    [
        ([True, True], "other", "p0"),
        ([False, True], "other", "p1"),
        ([False, False], "other", "other"),
        ([False, True], None, "p1"),
    ],
)
async def test_the_first_rule_that_holds_wins(
    context: ExecutionContext, holds: list[bool], default: str | None, expected: str
) -> None:
    rules = [{"when": when, "path": f"p{index}"} for index, when in enumerate(holds)]
    result = await DecisionMaker().execute(context, DecisionMaker.Config(rules=rules, default=default))
    assert result.output == {"path": expected}


async def test_no_rule_and_no_default_is_an_error_that_no_retry_repeats(context: ExecutionContext) -> None:
    config = DecisionMaker.Config(rules=[{"when": False, "path": "a"}])
    with pytest.raises(FlowError, match="add one to its config") as caught:
        await DecisionMaker().execute(context, config)
    assert caught.value.record.reason is Reason.CONFIG_INVALID
    assert not caught.value.record.is_retryable


@pytest.mark.parametrize("when", ["true", "no", 1, None, []])
def test_a_condition_that_is_no_boolean_is_refused(when: Any) -> None:
    with pytest.raises(ValidationError, match="when"):
        DecisionMaker.Config(rules=[{"when": when, "path": "a"}])


def test_paths_are_in_order_of_first_mention() -> None:
    paths = ["b", "a", "b"]
    rules = [{"when": "{{ inputs.x }}", "path": path} for path in paths]
    (field,) = DecisionMaker.output_type({"rules": rules, "default": "z"}).fields
    assert (field.name, field.type) == ("path", EnumType(("b", "a", "z")))


@pytest.mark.parametrize(
    ("config", "path"),
    [
        ({}, ("rules",)),
        ({"rules": []}, ("rules",)),
        ({"rules": "a"}, ("rules",)),
        ({"rules": [{"path": "a"}]}, ("rules", 0)),
        ({"rules": [{"when": True, "path": 1}]}, ("rules", 0)),
        ({"rules": [{"when": True, "path": "a"}, {"when": True, "path": "{{ inputs.x }}"}]}, ("rules", 1, "path")),
        ({"rules": [{"when": True, "path": "a"}], "default": "A"}, ("default",)),
        ({"rules": [{"when": True, "path": "a"}], "default": 7}, ("default",)),
    ],
)
def test_a_rule_that_cannot_be_read_is_shown_in_the_config(config: dict[str, Any], path: tuple[str | int, ...]) -> None:
    with pytest.raises(TypeSyntaxError) as caught:
        DecisionMaker.output_type(config)
    assert caught.value.path == path
    assert caught.value.hint
