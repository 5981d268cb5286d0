"""A choice between named paths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field, StrictBool

from promptflow_core.errors import FlowError, Reason
from promptflow_core.executor import BaseExecutor, ExecutionContext, ExecutionResult, ExecutorConfig
from promptflow_core.type_syntax import TypeSyntaxError, parse_type
from promptflow_core.types import FieldType, ObjectType
from promptflow_core.values import NativeValue

_HINT = 'write `rules: [{when: "{{ … }}", path: name}]`'


class Rule(ExecutorConfig):
    """`path` is taken where `when` is true and no rule before it held."""

    when: StrictBool = Field(description="a template that yields true or false")
    path: str = Field(description="name of the path; templates are not allowed here")


class DecisionMakerConfig(ExecutorConfig):
    """Rules in order of precedence, and the path that is taken where none holds."""

    rules: list[Rule]
    default: str | None = None


class DecisionMaker(BaseExecutor[DecisionMakerConfig, dict[str, NativeValue]]):
    """Choose the path of the first rule that holds."""

    name = "decision_maker"
    Config = DecisionMakerConfig

    @classmethod
    def output_type(cls, config: Mapping[str, Any]) -> ObjectType:
        """One field, `path`: an enum of the paths in order of first mention.

        Raises:
            TypeSyntaxError: a rule or a path cannot be read; the path starts at `config`.
        """
        places = _mentions(config)
        values = list(places)
        try:
            paths = parse_type("enum", values=values)
        except TypeSyntaxError as error:
            index = error.path[-1] if error.path else None
            place = places[values[index]] if isinstance(index, int) else ()
            hint = "paths are words of letters, digits and `_`, written out; conditions belong in `when`"
            raise TypeSyntaxError(f"path: {error}", place, hint) from None
        return ObjectType((FieldType("path", paths, required=True),))

    async def execute(
        self, context: ExecutionContext, config: DecisionMakerConfig
    ) -> ExecutionResult[dict[str, NativeValue]]:
        """Answer the path taken.

        Raises:
            FlowError: CONFIG_INVALID, no rule holds and there is no default.
        """
        path = next((rule.path for rule in config.rules if rule.when), config.default)
        if path is None:
            message = f"step `{context.step}`: no rule holds and there is no `default`; add one to its config"
            raise FlowError(Reason.CONFIG_INVALID, message)
        return ExecutionResult({"path": path})


def _mentions(config: Mapping[str, Any]) -> dict[Any, tuple[str | int, ...]]:
    """Each path once, in order of first mention, with its place in `config`."""
    rules = config.get("rules")
    if not isinstance(rules, Sequence) or isinstance(rules, str) or not rules:
        raise TypeSyntaxError("`rules` must list at least one rule", ("rules",), _HINT)
    places: dict[Any, tuple[str | int, ...]] = {}
    entries: Sequence[Any] = rules  # pyright: ignore[reportUnknownVariableType]
    for index, entry in enumerate(entries):
        rule: Mapping[str, Any] = entry if isinstance(entry, Mapping) else {}  # pyright: ignore[reportUnknownVariableType]
        if "when" not in rule or not isinstance(rule.get("path"), str):
            raise TypeSyntaxError("a rule is a mapping with `when` and `path`", ("rules", index), _HINT)
        places.setdefault(rule["path"], ("rules", index, "path"))
    default = config.get("default")
    if default is not None:
        places.setdefault(default, ("default",))
    return places
