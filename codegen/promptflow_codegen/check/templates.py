"""One value of a flow file that may hold templates: what it reads exists, and what it yields can be what is wanted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from jinja2 import nodes

from promptflow_codegen.check.absences import Absences, AbsentRead
from promptflow_codegen.check.evaluation import NOTHING, find_failures, is_too_large, outcomes, value_of
from promptflow_codegen.check.expressions import ExpressionTypes
from promptflow_codegen.check.facts import NOTHING_KNOWN, Facts
from promptflow_codegen.check.fit import can_fit, in_json, strange_values
from promptflow_codegen.check.scope import Scope, ScopeError, shown
from promptflow_codegen.diagnostics import Position, Report
from promptflow_codegen.template_sandbox import FlowEnvironment
from promptflow_codegen.template_syntax import ParsedTemplate, TemplateError, TemplateKind, nearest, parse_template
from promptflow_codegen.tree import ListNode, MapNode, Node, Places, ScalarNode, shape_of
from promptflow_core.coercion import CoercionError, coerce
from promptflow_core.types import SCALARS, EnumType, ListType, MapType, ObjectType, ValueType, spelling

_STRING = SCALARS["string"]
_JSON = SCALARS["json"]


@dataclass(frozen=True, slots=True)
class Yield:
    """What a value turns out to be: its type, None where only the run can tell.

    `is_plain`: the type is that of what is read, not of something made of it. `constants`: values that it may turn out
    to be; `is_constant`: nothing else.
    """

    type: ValueType | None
    kind: TemplateKind
    is_plain: bool = True
    constants: tuple[Any, ...] = ()
    is_constant: bool = False


@dataclass(frozen=True, slots=True)
class TemplateCheck:
    """Checks the values of one step, or of the outputs; `steps_read` gathers the steps that they read.

    `facts` hold wherever the values are rendered. `inputs_missed` gathers the inputs that may not be sent and are read
    as if they were, be it that null does where they are not. `takes_native`: what is `json` takes any native value, as
    in the configs of executors, which fit it themselves.
    """

    scope: Scope
    report: Report
    environment: FlowEnvironment
    absences: Absences = field(default_factory=Absences)
    facts: Facts = NOTHING_KNOWN
    steps_read: dict[str, Position] = field(default_factory=dict[str, Position])
    inputs_missed: set[str] = field(default_factory=set[str])
    takes_native: bool = False
    parsed: dict[int, ParsedTemplate | None] = field(default_factory=dict[int, ParsedTemplate | None])
    places: dict[int, Places] = field(default_factory=dict[int, Places])

    def of_one(self) -> TemplateCheck:
        """The same for the values of another step, whose reads are gathered apart."""
        return replace(self, steps_read={})

    def in_scope(self, local: Mapping[str, ValueType | None]) -> TemplateCheck:
        """The same with names of a for_each step in sight."""
        return replace(self, scope=self.scope.with_local(local))

    def native(self) -> TemplateCheck:
        """The same for the config of an executor."""
        return replace(self, takes_native=True)

    def where(self, condition: ScalarNode) -> TemplateCheck:
        """The same where a condition, which was checked, holds."""
        parsed = self._parse(condition)
        expression = None if parsed is None else sole_expression(parsed)
        return self if expression is None else replace(self, facts=self.absences.holding(self.facts, expression))

    def value(self, node: Node, wanted: ValueType | None, what: str, *, is_needed: bool = False) -> None:
        """Check `node` and everything in it; `wanted` None takes anything. `what` names it to people.

        What `is_needed` cannot be null, as which an input that was not sent comes where nothing else is read.
        """
        match node:
            case MapNode():
                self._mapping(node, wanted, what)
            case ListNode():
                self._list(node, wanted, what)
            case ScalarNode(value=str()):
                self._text(node, wanted, what, is_needed=is_needed)
            case ScalarNode():
                self._literal(node, wanted, what)

    def expression(self, node: ScalarNode, what: str) -> Yield | None:
        """Check a value that must be one expression, and tell its type."""
        result = self.infer(node)
        if result is not None and result.kind is not TemplateKind.EXPRESSION:
            hint = 'write `"{{ … }}"` with nothing around it'
            self.report.error("not-an-expression", node.position, f"{what} is not one expression", hint)
            return None
        self._check_needed(node)
        return result

    def infer(self, node: ScalarNode) -> Yield | None:
        """Check a text and tell what it yields; None where it cannot be used."""
        parsed = self._parse(node)
        if parsed is None or not self._reads_exist(parsed, node):
            return None
        found = self.report.count
        self._check_absences(parsed, node)
        expression_type = self._check_body(parsed, node)
        if parsed.kind is not TemplateKind.EXPRESSION:
            return Yield(_STRING, parsed.kind)
        if parsed.direct is not None:
            return Yield(self.scope.type_of(parsed.direct), parsed.kind)
        if self.report.count > found:
            return Yield(None, parsed.kind, is_plain=False)
        expression = sole_expression(parsed)
        found_values = [value_of(outcome, self.environment) for outcome in outcomes(expression)] if expression else []
        constants = tuple(value for value in found_values if value is not NOTHING and value is not None)
        is_constant = bool(constants) and len(constants) == len(found_values)
        return Yield(expression_type, parsed.kind, is_plain=False, constants=constants, is_constant=is_constant)

    def _check_absences(self, parsed: ParsedTemplate, node: ScalarNode) -> None:
        for read in self.absences.unguarded(parsed.body, self.facts):
            if read.path[0] == "inputs":
                self.inputs_missed.add(str(read.path[1]))
                if parsed.direct is not None:
                    continue  # it is null then: `_check_needed` looks at what that does
            self._tell_absent(read, node)

    def _check_needed(self, node: ScalarNode) -> None:
        """Report a plain read of an input that may not be there, where null would not do."""
        parsed = self._parse(node)
        if parsed is not None and parsed.direct is not None and parsed.direct.path[0] == "inputs":
            for read in self.absences.unguarded(parsed.body, self.facts):
                self._tell_absent(read, node)

    def _tell_absent(self, read: AbsentRead, node: ScalarNode) -> None:
        say = self.report.error if read.is_sure else self.report.warning
        name = shown(read.path)
        if read.path[0] == "steps":
            code, message = "skippable-step", f"step `{read.path[1]}` may be skipped, and this reads it"
            name += ".…"
        else:
            what = f"input `{read.path[1]}`" if len(read.path) == 2 else f"`{name}`"
            code, message = "optional-input", f"{what} need not be sent and has no default, and this reads it"
        say(code, self._at(node, read.offset), message, f"say what holds then: `{name} | default(…)`")

    def _check_body(self, parsed: ParsedTemplate, node: ScalarNode) -> ValueType | None:
        """Report what can never work; the type of a template that is one expression."""
        if parsed.direct is not None or not parsed.body:
            return None

        def say(code: str, message: str, offset: int, hint: str = "") -> None:
            self.report.error(code, self._at(node, offset), message, hint)

        find_failures(parsed.body, self.environment, lambda message, offset: say("template-fails", message, offset))
        types = ExpressionTypes(self.scope, self.environment, say)
        expression = sole_expression(parsed)
        if expression is not None:
            return types.type_of(expression, {})
        types.statements(list(parsed.body), {})
        return None

    def _at(self, node: ScalarNode, offset: int) -> Position:
        if id(node) not in self.places:
            self.places[id(node)] = Places(node)
        return self.places[id(node)].at(offset)

    def _parse(self, node: ScalarNode) -> ParsedTemplate | None:
        if id(node) not in self.parsed:
            self.parsed[id(node)] = self._parse_anew(node)
        return self.parsed[id(node)]

    def _parse_anew(self, node: ScalarNode) -> ParsedTemplate | None:
        try:
            return parse_template(str(node.value), self.environment)
        except TemplateError as error:
            self.report.error(error.code, self._at(node, error.offset), error.message, error.hint)
            return None

    def _reads_exist(self, parsed: ParsedTemplate, node: ScalarNode) -> bool:
        exist = True
        for read in parsed.reads:
            try:
                self.scope.type_of(read)
            except ScopeError as error:
                exist = False
                self.report.error(error.code, self._at(node, read.offsets[error.part]), error.message, error.hint)
            if len(read.path) > 1 and read.path[0] == "steps" and read.path[1] in self.scope.steps:
                self.steps_read.setdefault(str(read.path[1]), self._at(node, read.offsets[0]))
        return exist

    def _text(self, node: ScalarNode, wanted: ValueType | None, what: str, *, is_needed: bool) -> None:
        result = self.infer(node)
        if result is None:
            return
        if is_needed:
            self._check_needed(node)
        if result.kind is TemplateKind.LITERAL:
            self._literal(node, wanted, what)
            return
        found = self.report.count
        for constant in result.constants:
            self._fits(node, constant, wanted, what)
        if self._takes_all(wanted) or result.is_constant or self.report.count > found:
            return
        assert wanted is not None
        if result.type is not None and not can_fit(result.type, wanted):
            self._misfit(node, result.type, wanted, what)

    def _takes_all(self, wanted: ValueType | None) -> bool:
        return wanted is None or (wanted == _JSON and self.takes_native)

    def _misfit(self, node: ScalarNode, given: ValueType, wanted: ValueType, what: str) -> None:
        strange, problem = strange_values(given, wanted), in_json(given)
        if strange:
            values = ", ".join(strange[:12])
            message = f"{what} is {spelling(wanted)}, but this may yield {values}, which that has not"
            hint = "add the value there, or leave it to the run: `| string`" if isinstance(given, EnumType) else ""
        elif wanted == _JSON and problem is not None:
            message = f"{what} is json, but {problem.what('this')}"
            hint = problem.hint
        else:
            message, hint = f"{what} is {spelling(wanted)}, but this yields {spelling(given)}", ""
        self.report.error("type-mismatch", node.position, message, hint)

    def _literal(self, node: ScalarNode, wanted: ValueType | None, what: str) -> None:
        self._fits(node, node.value, wanted, what)

    def _fits(self, node: ScalarNode, value: Any, wanted: ValueType | None, what: str) -> None:
        if wanted is None or wanted == _JSON:
            if is_too_large(value):
                self.report.error("type-mismatch", node.position, "the number is too large: integers have 64 bits")
            return
        try:
            coerce(value, wanted)
        except (CoercionError, OverflowError) as error:
            message = error.message if isinstance(error, CoercionError) else "the number is too large"
            self.report.error("type-mismatch", node.position, f"{what}: {message}")

    def _mapping(self, node: MapNode, wanted: ValueType | None, what: str) -> None:
        match wanted:
            case ObjectType():
                self.fields(node, wanted, what)
            case MapType(value=inner):
                for entry in node.entries:
                    self.value(entry.value, inner, f"`{entry.key}` of {what}", is_needed=_refuses_null(inner))
            case None:
                for entry in node.entries:
                    self.value(entry.value, None, what)
            case _ if wanted == _JSON:
                for entry in node.entries:
                    self.value(entry.value, wanted, f"`{entry.key}` of {what}")
            case _:
                self._mismatch(node, wanted, what)

    def fields(self, node: MapNode, wanted: ObjectType, what: str, *, is_config: bool = False) -> None:
        """Check a mapping that fills an object: known keys, required ones, each of its type.

        In the config of an executor no default stands in for null, and what is of any type may be null.
        """
        for entry in node.entries:
            expected = wanted.field(entry.key)
            if expected is None:
                names = [candidate.name for candidate in wanted.fields]
                close = nearest(entry.key, names)
                hint = f"did you mean `{close}`?" if close else f"{what} takes {', '.join(names) or 'no keys'}"
                self.report.error("unknown-config", entry.position, f"{what} has no key `{entry.key}`", hint)
            elif not isinstance(entry.value, ScalarNode) or entry.value.value is not None or expected.required:
                is_needed = expected.required
                if is_config:
                    is_needed = expected.type != _JSON and (expected.required or expected.default is not None)
                self.value(entry.value, expected.type, f"`{entry.key}` of {what}", is_needed=is_needed)
        for expected in wanted.fields:
            if expected.required and node.entry(expected.name) is None:
                message = f"{what} lacks `{expected.name}` ({spelling(expected.type)})"
                hint = f"add `{expected.name}: …`" + (f": {expected.description}" if expected.description else "")
                self.report.error("missing-config", node.position, message, hint)

    def _list(self, node: ListNode, wanted: ValueType | None, what: str) -> None:
        if wanted is not None and wanted != _JSON and not isinstance(wanted, ListType):
            self._mismatch(node, wanted, what)
            return
        inner = wanted.element if isinstance(wanted, ListType) else wanted
        for index, item in enumerate(node.items):
            self.value(item, inner, f"item {index} of {what}", is_needed=_refuses_null(inner))

    def _mismatch(self, node: Node, wanted: ValueType, what: str) -> None:
        message = f"{what} is {spelling(wanted)}, but this is {shape_of(node)}"
        self.report.error("type-mismatch", node.position, message)


def _refuses_null(inner: ValueType | None) -> bool:
    """Whether what lists or maps hold cannot be null."""
    return inner is not None and inner != _JSON


def sole_expression(parsed: ParsedTemplate) -> nodes.Expr | None:
    """The expression that a template is, where it is one."""
    if parsed.kind is not TemplateKind.EXPRESSION:
        return None
    output = parsed.body[0]
    assert isinstance(output, nodes.Output)
    return output.nodes[0]
