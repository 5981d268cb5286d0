"""Steps that may be skipped, and templates that read them as if they always ran.

A step with a `condition` may be skipped; what reads it says what holds then: `| default(...)`, `is defined`, or a
condition of its own under which the other step ran as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from jinja2 import nodes

from promptflow_codegen.nodes import StepNode
from promptflow_codegen.template_sandbox import FlowEnvironment
from promptflow_codegen.template_syntax import TemplateError, parse_template, plain_read
from promptflow_codegen.tree import ScalarNode

Facts = tuple[nodes.Node, ...]
"""Expressions that hold where a template is rendered."""


@dataclass(frozen=True, slots=True)
class SkippableRead:
    """A read of a step that may have been skipped; `is_sure`: nothing around it could have made sure that it ran."""

    step: str
    offset: int
    is_sure: bool


@dataclass(frozen=True, slots=True)
class Skips:
    """The conditions of the steps that have one, each as the expressions that it joins by `and`."""

    conditions: Mapping[str, Facts] = field(default_factory=dict[str, Facts])

    def unguarded(self, body: Sequence[nodes.Node], facts: Facts = ()) -> Iterator[SkippableRead]:
        """The reads in some statements that fail where a step was skipped; `facts` hold around them."""
        for statement in body:
            match statement:
                case nodes.If():
                    yield from self._branches(statement, facts)
                case nodes.For():
                    yield from self._expression(statement.iter, facts)
                    for inner in (statement.body, statement.else_):
                        yield from self.unguarded(inner, facts)
                case _:
                    for child in statement.iter_child_nodes():
                        yield from self._expression(child, facts)

    def _branches(self, statement: nodes.If, facts: Facts) -> Iterator[SkippableRead]:
        yield from self._expression(statement.test, facts)
        yield from self.unguarded(statement.body, (*facts, *conjuncts(statement.test)))
        for branch in (list[nodes.Node](statement.elif_), statement.else_):
            yield from self.unguarded(branch, (*facts, *_opposite(statement.test)))

    def _expression(self, node: nodes.Node, facts: Facts) -> Iterator[SkippableRead]:
        match node:
            case nodes.Name() | nodes.Getattr() | nodes.Getitem():
                yield from self._read(node, facts)
            case (
                nodes.Filter(name="default" | "d", node=operand)
                | nodes.Test(name="defined" | "undefined", node=operand)
            ):
                if plain_read(operand) is None:  # type: ignore[arg-type]
                    yield from self._expression(operand, facts)  # type: ignore[arg-type]
                for argument in node.args:
                    # Who falls back on another step has thought of it: `steps.a.x | default(steps.b.x)`.
                    if plain_read(argument) is None:
                        yield from self._expression(argument, facts)
            case nodes.CondExpr():
                yield from self._expression(node.test, facts)
                yield from self._expression(node.expr1, (*facts, *conjuncts(node.test)))
                if node.expr2 is not None:
                    yield from self._expression(node.expr2, (*facts, *_opposite(node.test)))
            case nodes.And() | nodes.Or():
                yield from self._expression(node.left, facts)
                known = conjuncts(node.left) if isinstance(node, nodes.And) else _opposite(node.left)
                yield from self._expression(node.right, (*facts, *known))
            case _:
                for child in node.iter_child_nodes():
                    yield from self._expression(child, facts)

    def _read(self, node: nodes.Node, facts: Facts) -> Iterator[SkippableRead]:
        read = plain_read(node)
        if read is None:
            for child in node.iter_child_nodes():
                yield from self._expression(child, facts)
        elif read.path[0] == "steps" and len(read.path) > 1:
            step = str(read.path[1])
            if step in self.conditions and step not in self._ran(facts) and not self._is_other_arm(step, facts):
                yield SkippableRead(step, read.offsets[0], not facts)

    def _is_other_arm(self, step: str, facts: Facts) -> bool:
        """Whether the step runs for one value of what is known to have not another: `x == 'b'` where `x != 'a'`."""
        excluded = [fact.expr for fact in facts if isinstance(fact, nodes.Compare) and fact.ops[0].op == "ne"]
        return any(
            isinstance(fact, nodes.Compare) and fact.ops[0].op == "eq" and fact.expr in excluded
            for fact in self.conditions[step]
        )

    def _ran(self, facts: Facts) -> set[str]:
        """The steps that ran where `facts` hold: those found defined, those whose condition is among the facts."""
        known = list(facts)
        ran = {step for step in map(_step_found, facts) if step is not None}
        while True:
            for step in ran:
                known += [fact for fact in self.conditions.get(step, ()) if fact not in known]
            more = {
                step for step, needed in self.conditions.items() if needed and all(fact in known for fact in needed)
            } - ran
            if not more:
                return ran
            ran |= more


def find_skips(steps: Sequence[StepNode], environment: FlowEnvironment) -> Skips:
    """The steps of a flow that may be skipped; conditions that cannot be parsed are reported elsewhere."""
    return Skips({step.name.text: _facts_of(step.condition, environment) for step in steps if step.condition})


def _facts_of(condition: ScalarNode, environment: FlowEnvironment) -> Facts:
    try:
        parsed = parse_template(str(condition.value), environment)
    except TemplateError:
        return ()
    match parsed.body:
        case (nodes.Output(nodes=[expression, *_]),):
            return conjuncts(expression)
        case _:
            return ()


def conjuncts(test: nodes.Node) -> Facts:
    """The expressions that hold where `test` does."""
    match test:
        case nodes.And():
            return (*conjuncts(test.left), *conjuncts(test.right))
        case nodes.Not():
            return _opposite(test.node)
        case _:
            return (test,)


def _opposite(test: nodes.Node) -> Facts:
    """The expressions that hold where `test` does not."""
    match test:
        case nodes.Or():
            return (*_opposite(test.left), *_opposite(test.right))
        case nodes.Not():
            return conjuncts(test.node)
        case nodes.Test(name="undefined"):
            return (nodes.Test(test.node, "defined", test.args, test.kwargs, test.dyn_args, test.dyn_kwargs),)
        case nodes.Compare(expr=left, ops=[nodes.Operand(op="eq" | "ne" as operator, expr=right)]):
            flipped = "ne" if operator == "eq" else "eq"
            return (nodes.Compare(left, [nodes.Operand(flipped, right)]),)
        case _:
            return (nodes.Not(cast("nodes.Expr", test)),)


def _step_found(fact: nodes.Node) -> str | None:
    if not isinstance(fact, nodes.Test) or fact.name != "defined":
        return None
    read = plain_read(fact.node)
    return str(read.path[1]) if read is not None and read.path[0] == "steps" and len(read.path) > 1 else None
