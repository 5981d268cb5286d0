"""What may not be there, and templates that read it as if it always were.

A step with a `condition` may be skipped, an input that is neither required nor has a default may not be sent. What
reads one says what holds then: `| default(...)`, `is defined`, or a condition of its own under which it is there.

What holds at a place is a set of facts, which `facts` counts over the whole flow: to compare sets costs the same
however long the expressions are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from jinja2 import nodes

from promptflow_codegen.check.facts import NOTHING_KNOWN, Facts, FactTable
from promptflow_codegen.template_sandbox import FlowEnvironment
from promptflow_codegen.template_syntax import Path, TemplateError, parse_template, plain_read
from promptflow_core.types import ListType, MapType, ObjectType, ValueType

_ROOTS = frozenset({"inputs", "steps"})
_LOOKS_AT = frozenset({"boolean", "float", "integer", "iterable", "mapping", "none", "number", "sequence", "string"})
"""Tests that answer for what is not there as well."""


@dataclass(frozen=True, slots=True)
class AbsentRead:
    """A read of something that may not be there; `is_sure`: nothing around it could have made sure that it is."""

    path: Path
    offset: int
    is_sure: bool


class Absences:
    """The steps of one flow that may be skipped, by their conditions, and its inputs that may not be sent."""

    def __init__(
        self,
        conditions: Mapping[str, str] | None = None,
        inputs: ObjectType | None = None,
        environment: FlowEnvironment | None = None,
    ) -> None:
        self._inputs = inputs or ObjectType(())
        tests = {name: _test_of(text, environment) for name, text in (conditions or {}).items()}
        self._table = FactTable(tests)

    def holding(self, facts: Facts, test: nodes.Node) -> Facts:
        """What is known where `test` holds beside `facts`."""
        return facts | self._table.where(test)

    def where(self, condition: str | None, environment: FlowEnvironment | None = None) -> Facts:
        """What is known where a condition, if there is one, holds."""
        test = None if condition is None else _test_of(condition, environment)
        return NOTHING_KNOWN if test is None else self.holding(NOTHING_KNOWN, test)

    def unguarded(self, body: Sequence[nodes.Node], facts: Facts = NOTHING_KNOWN) -> Iterator[AbsentRead]:
        """The reads in some statements that fail where something is absent; `facts` hold around them."""
        for statement in body:
            match statement:
                case nodes.If():
                    yield from self._branches(statement, facts)
                case nodes.For():
                    yield from self._for(statement, facts)
                case _:
                    for child in statement.iter_child_nodes():
                        yield from self._expression(child, facts)

    def _branches(self, statement: nodes.If, facts: Facts) -> Iterator[AbsentRead]:
        yield from self._expression(statement.test, facts)
        yield from self.unguarded(statement.body, facts | self._table.where(statement.test))
        otherwise = facts | self._table.where_not(statement.test)
        for branch in (list[nodes.Node](statement.elif_), statement.else_):
            yield from self.unguarded(branch, otherwise)

    def _for(self, loop: nodes.For, facts: Facts) -> Iterator[AbsentRead]:
        yield from self._expression(loop.iter, facts)
        yield from self.unguarded(loop.else_, facts)
        if _ROOTS & {name.name for name in nodes.Tuple([loop.target], "load").find_all(nodes.Name)}:
            return  # another `inputs` or `steps` than the flow's
        if loop.test is not None:
            yield from self._expression(loop.test, facts)
            facts |= self._table.where(loop.test)
        yield from self.unguarded(loop.body, facts)

    def _expression(self, node: nodes.Node, facts: Facts) -> Iterator[AbsentRead]:
        match node:
            case nodes.Name() | nodes.Getattr() | nodes.Getitem():
                yield from self._read(node, facts)
            case (
                nodes.Filter(name="default" | "d", node=operand)
                | nodes.Test(name="defined" | "undefined", node=operand)
            ):
                yield from self._fallback(operand, node.args, facts)  # type: ignore[arg-type]
            case nodes.Test(name=name, node=operand) if name in _LOOKS_AT and plain_read(operand) is not None:
                pass
            case nodes.CondExpr():
                yield from self._expression(node.test, facts)
                yield from self._expression(node.expr1, facts | self._table.where(node.test))
                if node.expr2 is not None:
                    yield from self._expression(node.expr2, facts | self._table.where_not(node.test))
            case nodes.And() | nodes.Or():
                yield from self._expression(node.left, facts)
                is_both = isinstance(node, nodes.And)
                known = self._table.where(node.left) if is_both else self._table.where_not(node.left)
                yield from self._expression(node.right, facts | known)
            case _:
                for child in node.iter_child_nodes():
                    yield from self._expression(child, facts)

    def _fallback(self, operand: nodes.Node, arguments: Sequence[nodes.Node], facts: Facts) -> Iterator[AbsentRead]:
        # Who falls back on another one has thought of it: `steps.a.x | default(steps.b.x)`.
        for node in (operand, *arguments):
            if plain_read(node) is None:
                yield from self._expression(node, facts)

    def _read(self, node: nodes.Node, facts: Facts) -> Iterator[AbsentRead]:
        read = plain_read(node)
        if read is None:
            for child in node.iter_child_nodes():
                yield from self._expression(child, facts)
        elif read.path[:1] == ("steps",) and len(read.path) > 1:
            if not self._table.has_run(str(read.path[1]), facts):
                yield AbsentRead(read.path[:2], read.offsets[0], facts == NOTHING_KNOWN)
        elif read.path[:1] == ("inputs",):
            lacking = (path for path in self._optional(read.path) if not self._table.is_found(path, facts))
            first = next(lacking, None)
            if first is not None:
                yield AbsentRead(first, read.offsets[0], facts == NOTHING_KNOWN)

    def _optional(self, path: Path) -> Iterator[Path]:
        """What may be absent on the way to an input, or to a field of one; lists and maps are empty instead."""
        declared: ValueType = self._inputs
        for depth, key in enumerate(path[1:], start=2):
            field = declared.field(key) if isinstance(declared, ObjectType) and isinstance(key, str) else None
            if field is None:
                return
            declared = field.type
            if not field.required and field.default is None and not isinstance(declared, ListType | MapType):
                yield path[:depth]


def _test_of(condition: str, environment: FlowEnvironment | None) -> nodes.Node | None:
    """The expression of a condition; one that cannot be parsed is reported elsewhere."""
    try:
        parsed = parse_template(condition, environment)
    except TemplateError:
        return None
    match parsed.body:
        case (nodes.Output(nodes=[expression, *_]),):
            return expression
        case _:
            return None
