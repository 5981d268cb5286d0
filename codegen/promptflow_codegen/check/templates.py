"""One value of a flow file that may hold templates: what it reads exists, and what it yields can be what is wanted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from promptflow_codegen.check.fit import can_fit
from promptflow_codegen.check.scope import Scope, ScopeError
from promptflow_codegen.diagnostics import Position, Report
from promptflow_codegen.template_sandbox import FlowEnvironment
from promptflow_codegen.template_syntax import ParsedTemplate, TemplateError, TemplateKind, nearest, parse_template
from promptflow_codegen.tree import ListNode, MapNode, Node, ScalarNode, shape_of
from promptflow_core.coercion import CoercionError, coerce
from promptflow_core.types import SCALARS, ListType, MapType, ObjectType, ValueType, spelling

_STRING = SCALARS["string"]
_JSON = SCALARS["json"]


@dataclass(frozen=True, slots=True)
class Yield:
    """What a value turns out to be: its type, None where only the run can tell."""

    type: ValueType | None
    kind: TemplateKind


@dataclass(frozen=True, slots=True)
class TemplateCheck:
    """Checks the values of one step, or of the outputs; `steps_read` gathers the steps that they read."""

    scope: Scope
    report: Report
    environment: FlowEnvironment
    steps_read: dict[str, Position] = field(default_factory=dict[str, Position])

    def in_scope(self, local: Mapping[str, ValueType | None]) -> TemplateCheck:
        """The same with names of a for_each step in sight."""
        return TemplateCheck(self.scope.with_local(local), self.report, self.environment, self.steps_read)

    def value(self, node: Node, wanted: ValueType | None, what: str) -> None:
        """Check `node` and everything in it; `wanted` None takes anything. `what` names it to people."""
        match node:
            case MapNode():
                self._mapping(node, wanted, what)
            case ListNode():
                self._list(node, wanted, what)
            case ScalarNode(value=str()):
                self._text(node, wanted, what)
            case ScalarNode():
                self._literal(node, wanted, what)

    def expression(self, node: ScalarNode, what: str) -> Yield | None:
        """Check a value that must be one expression, and tell its type."""
        result = self.infer(node)
        if result is not None and result.kind is not TemplateKind.EXPRESSION:
            hint = 'write `"{{ … }}"` with nothing around it'
            self.report.error("not-an-expression", node.position, f"{what} is not one expression", hint)
            return None
        return result

    def infer(self, node: ScalarNode) -> Yield | None:
        """Check a text and tell what it yields; None where it cannot be used."""
        parsed = self._parse(node)
        if parsed is None or not self._reads_exist(parsed, node):
            return None
        if parsed.kind is not TemplateKind.EXPRESSION:
            return Yield(_STRING, parsed.kind)
        return Yield(self.scope.type_of(parsed.direct) if parsed.direct else None, parsed.kind)

    def _parse(self, node: ScalarNode) -> ParsedTemplate | None:
        try:
            return parse_template(str(node.value), self.environment)
        except TemplateError as error:
            self.report.error(error.code, node.at(error.offset), error.message, error.hint)
            return None

    def _reads_exist(self, parsed: ParsedTemplate, node: ScalarNode) -> bool:
        exist = True
        for read in parsed.reads:
            try:
                self.scope.type_of(read)
            except ScopeError as error:
                exist = False
                self.report.error(error.code, node.at(read.offsets[error.part]), error.message, error.hint)
            if len(read.path) > 1 and read.path[0] == "steps" and read.path[1] in self.scope.steps:
                self.steps_read.setdefault(str(read.path[1]), node.at(read.offsets[0]))
        return exist

    def _text(self, node: ScalarNode, wanted: ValueType | None, what: str) -> None:
        result = self.infer(node)
        if result is None:
            return
        if result.kind is TemplateKind.LITERAL:
            self._literal(node, wanted, what)
        elif wanted is None or wanted == _JSON or result.type is None:
            return  # a config's `json` takes any native value: executors fit it themselves
        elif not can_fit(result.type, wanted):
            message = f"{what} is {spelling(wanted)}, but this yields {spelling(result.type)}"
            self.report.error("type-mismatch", node.position, message)

    def _literal(self, node: ScalarNode, wanted: ValueType | None, what: str) -> None:
        if wanted is None or wanted == _JSON:
            return
        try:
            coerce(node.value, wanted)
        except (CoercionError, OverflowError) as error:
            message = error.message if isinstance(error, CoercionError) else "the number is too large"
            self.report.error("type-mismatch", node.position, f"{what}: {message}")

    def _mapping(self, node: MapNode, wanted: ValueType | None, what: str) -> None:
        match wanted:
            case ObjectType():
                self.fields(node, wanted, what)
            case MapType(value=inner):
                for entry in node.entries:
                    self.value(entry.value, inner, f"`{entry.key}` of {what}")
            case None:
                for entry in node.entries:
                    self.value(entry.value, None, what)
            case _ if wanted == _JSON:
                self._mapping(node, None, what)
            case _:
                self._mismatch(node, wanted, what)

    def fields(self, node: MapNode, wanted: ObjectType, what: str) -> None:
        """Check a mapping that fills an object: known keys, required ones, each of its type."""
        for entry in node.entries:
            expected = wanted.field(entry.key)
            if expected is None:
                names = [candidate.name for candidate in wanted.fields]
                close = nearest(entry.key, names)
                hint = f"did you mean `{close}`?" if close else f"{what} takes {', '.join(names) or 'no keys'}"
                self.report.error("unknown-config", entry.position, f"{what} has no key `{entry.key}`", hint)
            elif not isinstance(entry.value, ScalarNode) or entry.value.value is not None or expected.required:
                self.value(entry.value, expected.type, f"`{entry.key}` of {what}")
        for expected in wanted.fields:
            if expected.required and node.entry(expected.name) is None:
                message = f"{what} lacks `{expected.name}` ({spelling(expected.type)})"
                hint = f"add `{expected.name}: …`" + (f": {expected.description}" if expected.description else "")
                self.report.error("missing-config", node.position, message, hint)

    def _list(self, node: ListNode, wanted: ValueType | None, what: str) -> None:
        if wanted is not None and wanted != _JSON and not isinstance(wanted, ListType):
            self._mismatch(node, wanted, what)
            return
        inner = wanted.element if isinstance(wanted, ListType) else None
        for index, item in enumerate(node.items):
            self.value(item, inner, f"item {index} of {what}")

    def _mismatch(self, node: Node, wanted: ValueType, what: str) -> None:
        message = f"{what} is {spelling(wanted)}, but this is {shape_of(node)}"
        self.report.error("type-mismatch", node.position, message)
