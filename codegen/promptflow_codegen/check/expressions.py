"""The type of an expression, and what in it can never work.

That is: fields that a value lacks, operands that do not fit, comparisons that hold always or never. What only some
values do is left to the run: a type that is not certain is None, and nothing is said about it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from jinja2 import nodes

from promptflow_codegen.check.attributes import check_attributes
from promptflow_codegen.check.calls import check_filter, check_method, check_test
from promptflow_codegen.check.comparisons import why_pointless
from promptflow_codegen.check.filter_types import FilterMisfitError, filter_type, method_type
from promptflow_codegen.check.fit import in_json
from promptflow_codegen.check.scope import Scope, ScopeError
from promptflow_codegen.check.type_classes import in_text_hint, is_number, is_printable, is_text, merged
from promptflow_codegen.template_sandbox import FlowEnvironment
from promptflow_codegen.template_syntax import Read, plain_read
from promptflow_core.types import SCALARS, ListType, MapType, ObjectType, ValueType, spelling

Types = Mapping[str, ValueType | None]
Say = Callable[[str, str, int, str], None]
"""Code, message, offset in the template, hint."""

_BOOLEAN, _STRING, _INTEGER, _NUMBER = (SCALARS[name] for name in ("boolean", "string", "integer", "number"))


class ExpressionTypes:
    """Walks the expressions of one template."""

    def __init__(self, scope: Scope, environment: FlowEnvironment, say: Say) -> None:
        self._scope = scope
        self._environment = environment
        self._say = say

    def statements(self, body: list[nodes.Node], local: Types) -> None:
        """Walk all expressions of some statements; `local` are names that a `for` around them binds."""
        for statement in body:
            match statement:
                case nodes.Output(nodes=parts):
                    for part in parts:
                        self._printed(part, local)
                case nodes.If():
                    self.type_of(statement.test, local)
                    for branch in (statement.body, list[nodes.Node](statement.elif_), statement.else_):
                        self.statements(branch, local)
                case nodes.For():
                    self._for(statement, local)
                case _:
                    pass

    def type_of(self, node: nodes.Node, local: Types) -> ValueType | None:
        """The type that an expression yields whenever it yields anything, None where only the run can tell."""
        match node:
            case nodes.Const(value=value):
                return constant_type(value)
            case nodes.Name() | nodes.Getattr() | nodes.Getitem():
                return self._read(node, local)
            case nodes.Filter():
                return self._filter(node, local)
            case nodes.Compare():
                return self._compare(node, local)
            case nodes.BinExpr():
                return self._binary(node, local)
            case nodes.Call():
                return self._call(node, local)
            case nodes.CondExpr():
                self.type_of(node.test, local)
                kept = self.type_of(node.expr1, local)
                return kept if node.expr2 is None else merged(kept, self.type_of(node.expr2, local))
            case nodes.List(items=items) | nodes.Tuple(items=items):
                return self._list(items, local)
            case _:
                return self._other(node, local)

    def _printed(self, node: nodes.Node, local: Types) -> None:
        found = self.type_of(node, local)
        if found is not None and not is_printable(found):
            message = f"{spelling(found)} cannot be put into a text"
            self._say("type-mismatch", message, node.lineno, in_text_hint(found))

    def _other(self, node: nodes.Node, local: Types) -> ValueType | None:
        if isinstance(node, nodes.Concat):
            for part in node.nodes:
                self._printed(part, local)
            return _STRING
        inner = [self.type_of(child, local) for child in node.iter_child_nodes()]
        match node:
            case nodes.Test():
                self._guarded(node.lineno, lambda: check_test(node, self._environment))
                return _BOOLEAN
            case nodes.Not():
                return _BOOLEAN
            case nodes.TemplateData():
                return _STRING
            case nodes.Neg() | nodes.Pos() if is_number(inner[0]):
                return inner[0]
            case _:
                return None

    def _for(self, loop: nodes.For, local: Types) -> None:
        over = self.type_of(loop.iter, local)
        names = {name.name for name in loop.target.find_all(nodes.Name)}
        inner: dict[str, ValueType | None] = {**local, **dict.fromkeys(names), "loop": None}
        if isinstance(loop.target, nodes.Name):
            inner[loop.target.name] = item_type(over)
        if loop.test is not None:
            self.type_of(loop.test, inner)
        self.statements(loop.body, inner)
        self.statements(loop.else_, local)

    def _read(self, node: nodes.Node, local: Types) -> ValueType | None:
        read = plain_read(node)
        if read is not None and read.path[0] not in local:
            try:
                return self._scope.type_of(read)
            except ScopeError:
                return None  # reported with the other reads of the template
        match node:
            case nodes.Name(name=name):
                return local.get(name)
            case nodes.Getattr(node=owner, attr=name):
                return self._member(self.type_of(owner, local), name, node.lineno + 1)
            case nodes.Getitem(node=owner, arg=nodes.Const(value=str() | int() as key)):
                return self._member(self.type_of(owner, local), key, node.lineno + 1)
            case nodes.Getitem(node=owner, arg=argument):
                return self._subscript(self.type_of(owner, local), argument, local)
            case _:
                return None

    def _member(
        self, owner: ValueType | None, key: str | int, offset: int, whose: Read | None = None
    ) -> ValueType | None:
        try:
            return self._scope.member(owner, key, offset, whose)
        except ScopeError as error:
            self._say(error.code, error.message, offset, error.hint)
            return None

    def _subscript(self, owner: ValueType | None, argument: nodes.Node, local: Types) -> ValueType | None:
        self.type_of(argument, local)
        match owner:
            case ListType(element=element):
                return owner if isinstance(argument, nodes.Slice) else element
            case MapType(value=value):
                return value
            case _ if is_text(owner):
                return _STRING
            case _:
                return None

    def _filter(self, node: nodes.Filter, local: Types) -> ValueType | None:
        given = None if node.node is None else self.type_of(node.node, local)
        for keyword in node.kwargs:
            self.type_of(keyword.value, local)
        arguments = [self.type_of(argument, local) for argument in node.args]
        try:
            check_filter(node, given, self._environment)
            check_attributes(node, given, self._scope)
            if node.name == "tojson" and given is not None:
                _check_json(given)
            return filter_type(node, given, arguments)
        except FilterMisfitError as error:
            self._say(error.code, error.message, node.lineno, error.hint)
            return None

    def _compare(self, node: nodes.Compare, local: Types) -> ValueType:
        left, left_node = self.type_of(node.expr, local), node.expr
        for operand in node.ops:
            right = self.type_of(operand.expr, local)
            reason = why_pointless(operand.op, (left, left_node), (right, operand.expr))
            if reason is not None:
                code, message, hint = reason
                # What is compared stands where the wrong value does, not at the operator.
                self._say(code, message, operand.expr.lineno, hint)
            left, left_node = right, operand.expr
        return _BOOLEAN

    def _binary(self, node: nodes.BinExpr, local: Types) -> ValueType | None:
        left, right = self.type_of(node.left, local), self.type_of(node.right, local)
        if isinstance(node, nodes.And | nodes.Or):
            return merged(left, right)
        if is_number(left) and is_number(right):
            is_whole = _NUMBER not in (left, right) and not isinstance(node, nodes.Div | nodes.Pow)
            return _INTEGER if is_whole else _NUMBER
        if left is None or right is None:
            return None
        if is_text(left) and is_text(right) and isinstance(node, nodes.Add):
            return _STRING
        return self._mixed(node, left, right)

    def _mixed(self, node: nodes.BinExpr, left: ValueType, right: ValueType) -> ValueType | None:
        kinds = is_text(left), is_text(right)
        if isinstance(node, nodes.Mod | nodes.Mul) and any(kinds):
            return _STRING if kinds[0] else None
        if isinstance(left, ListType) and isinstance(right, ListType):
            return merged(left, right)
        for text, other in ((left, right), (right, left)):
            if is_text(text) and (is_number(other) or is_text(other)):
                message = f"`{node.operator}` cannot be used on {spelling(left)} and {spelling(right)}"
                hint = "`~` joins texts and numbers, `| int` and `| float` make a number of a text"
                self._say("type-mismatch", message, node.right.lineno, hint)
                return None
        return None

    def _call(self, node: nodes.Call, local: Types) -> ValueType | None:
        for child in (*node.args, *(keyword.value for keyword in node.kwargs)):
            self.type_of(child, local)
        match node.node:
            case nodes.Getattr(node=owner, attr=name):
                return self._method(node, name, self.type_of(owner, local))
            case nodes.Name(name="range"):
                return ListType(_INTEGER)
            case _:
                return None

    def _method(self, call: nodes.Call, name: str, owner: ValueType | None) -> ValueType | None:
        # The name of a method stands behind a dot.
        place = call.node.lineno + 1
        if not self._guarded(place, lambda: check_method(call, name, owner, self._environment)):
            return None
        return self._get(call, owner) if name == "get" else method_type(name, owner)

    def _guarded(self, offset: int, check: Callable[[], None]) -> bool:
        """Whether a check holds; what it raises is told."""
        try:
            check()
        except FilterMisfitError as error:
            self._say(error.code, error.message, offset, error.hint)
            return False
        return True

    def _get(self, call: nodes.Call, owner: ValueType | None) -> ValueType | None:
        """`owner.get(key)`, which is null, or what else is given, where the key is not there."""
        match owner, call.args:
            case ObjectType(), [nodes.Const(value=str() as key), *others]:
                value = self._member(owner, key, call.args[0].lineno, whose=plain_read(call.node.node))  # type: ignore[attr-defined]
                field = owner.field(key)
                is_there = field is not None and (field.required or field.default is not None)
                return value if is_there and not others else None
            case _:
                return None

    def _list(self, items: list[nodes.Expr], local: Types) -> ValueType | None:
        types = [self.type_of(item, local) for item in items]
        if not types:
            return None
        common = types[0]
        for found in types[1:]:
            common = merged(common, found)
        return None if common is None else ListType(common)


def item_type(over: ValueType | None) -> ValueType | None:
    """What a loop over a value yields: the items of a list, the keys of a map or an object."""
    match over:
        case ListType(element=element):
            return element
        case MapType() | ObjectType():
            return _STRING
        case _:
            return None


def constant_type(value: Any) -> ValueType | None:
    """The type of a value that a template spells out."""
    match value:
        case bool():
            return _BOOLEAN
        case int():
            return _INTEGER
        case float():
            return _NUMBER
        case str():
            return _STRING
        case _:
            return None


def _check_json(given: ValueType) -> None:
    problem = in_json(given)
    if problem is not None:
        raise FilterMisfitError("type-mismatch", f"`tojson` fails: {problem.what('its value')}", problem.hint)
