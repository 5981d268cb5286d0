"""Expressions that hold where a template is rendered, each counted once for a flow, and what follows from them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, cast

from jinja2 import nodes

from promptflow_codegen.template_syntax import Path, plain_read

Facts = int
"""A set of facts: bit n is set where fact n of the table holds."""

NOTHING_KNOWN: Facts = 0

_MAX_CONJUNCTS = 64
"""Of one test; whatever else it says is passed over."""


class FactTable:
    """The facts of one flow. `tests` are the conditions of the steps that have one, None where one cannot be read."""

    def __init__(self, tests: Mapping[str, nodes.Node | None]) -> None:
        self._numbers: dict[Any, int] = {}
        self._steps_found: dict[int, str] = {}
        """By fact: the step that it finds defined."""
        self._finding: dict[Path, Facts] = {}
        """By path: the facts of which each finds it, or something below it, defined."""
        self._expressions: dict[Any, int] = {}
        self._excluding: dict[int, Facts] = {}
        """By expression: the facts of which each says that it is not some value."""
        self._known: dict[Facts, Facts] = {}
        self._conditions: dict[str, Facts] = {}
        self._behind: dict[str, tuple[str, ...]] = {}
        self._arms: dict[str, tuple[int, ...]] = {}
        for step, test in tests.items():
            self._add_step(step, () if test is None else tuple(_conjuncts(test)))

    def where(self, test: nodes.Node) -> Facts:
        """What holds where `test` does."""
        return self._facts(_conjuncts(test))

    def where_not(self, test: nodes.Node) -> Facts:
        """What holds where `test` does not."""
        return self._facts(_opposite(test))

    def is_found(self, path: Path, facts: Facts) -> bool:
        """Whether something at `path` is there where `facts` hold."""
        return bool(self._finding.get(path, 0) & self._following(facts))

    def has_run(self, step: str, facts: Facts) -> bool:
        """Whether a step has run where `facts` hold: it always does, is found defined, or its condition is among them.

        Nor is it missed where it runs for one value of what is known to have not another: `x == 'b'` where `x != 'a'`.
        """
        if step not in self._conditions or self.is_found(("steps", step), facts):
            return True
        needed = self._conditions[step]
        if needed and not needed & ~self._following(facts):
            return True
        return any(self._excluding.get(expression, 0) & facts for expression in self._arms[step])

    def _following(self, facts: Facts) -> Facts:
        """The facts with the conditions of all steps that they find defined, and of those that these find."""
        if facts not in self._known:
            found = facts
            waiting = [self._steps_found[number] for number in _bits(facts) if number in self._steps_found]
            seen: set[str] = set()
            while waiting:
                step = waiting.pop()
                if step not in seen and step in self._conditions:
                    seen.add(step)
                    found |= self._conditions[step]
                    waiting += self._behind[step]
            self._known[facts] = found
        return self._known[facts]

    def _add_step(self, step: str, conjuncts: tuple[nodes.Node, ...]) -> None:
        facts = self._facts(iter(conjuncts))
        self._conditions[step] = facts
        self._behind[step] = tuple(self._steps_found[number] for number in _bits(facts) if number in self._steps_found)
        sides = (fact.expr for fact in conjuncts if isinstance(fact, nodes.Compare) and fact.ops[0].op == "eq")
        self._arms[step] = tuple({self._expression(side) for side in sides})

    def _facts(self, conjuncts: Iterator[nodes.Node]) -> Facts:
        facts = NOTHING_KNOWN
        for fact in islice(conjuncts, _MAX_CONJUNCTS):
            facts |= 1 << self._number(fact)
        return facts

    def _number(self, fact: nodes.Node) -> int:
        key = _key(fact)
        if key in self._numbers:
            return self._numbers[key]
        number = self._numbers[key] = len(self._numbers)
        match fact:
            case nodes.Test(name="defined", node=inner) if (read := plain_read(inner)) is not None:
                for length in range(2, len(read.path) + 1):
                    path = read.path[:length]
                    self._finding[path] = self._finding.get(path, 0) | 1 << number
                if read.path[0] == "steps" and len(read.path) > 1:
                    self._steps_found[number] = str(read.path[1])
            case nodes.Compare(expr=left, ops=[nodes.Operand(op="ne"), *_]):
                expression = self._expression(left)
                self._excluding[expression] = self._excluding.get(expression, 0) | 1 << number
            case _:
                pass
        return number

    def _expression(self, node: nodes.Node) -> int:
        return self._expressions.setdefault(_key(node), len(self._expressions))


def _conjuncts(test: nodes.Node) -> Iterator[nodes.Node]:
    """The expressions that hold where `test` does."""
    match test:
        case nodes.And():
            yield from _conjuncts(test.left)
            yield from _conjuncts(test.right)
        case nodes.Not():
            yield from _opposite(test.node)
        case _:
            yield test


def _opposite(test: nodes.Node) -> Iterator[nodes.Node]:
    """The expressions that hold where `test` does not."""
    match test:
        case nodes.Or():
            yield from _opposite(test.left)
            yield from _opposite(test.right)
        case nodes.Not():
            yield from _conjuncts(test.node)
        case nodes.Test(name="undefined"):
            yield nodes.Test(test.node, "defined", test.args, test.kwargs, test.dyn_args, test.dyn_kwargs)
        case nodes.Compare(expr=left, ops=[nodes.Operand(op="eq" | "ne" as operator, expr=right)]):
            flipped = "ne" if operator == "eq" else "eq"
            yield nodes.Compare(left, [nodes.Operand(flipped, right)])
        case _:
            yield nodes.Not(cast("nodes.Expr", test))


def _bits(facts: Facts) -> Iterator[int]:
    while facts:
        lowest = facts & -facts
        yield lowest.bit_length() - 1
        facts ^= lowest


def _key(part: Any) -> Any:
    """Equal for expressions that are written alike, wherever they stand."""
    match part:
        case nodes.Node():
            return type(part), *(_key(value) for _, value in part.iter_fields())
        case list() | tuple():
            return tuple(map(_key, part))  # pyright: ignore[reportUnknownArgumentType]
        case _:
            return type(part), part
