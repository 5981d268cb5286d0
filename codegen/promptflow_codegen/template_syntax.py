"""Templates of the flow language: Jinja2 in a sandbox, parsed, and what they read.

A template never changes what it is given, never calls out, gives the same answer whenever it is rendered again, and
no single operation of it grows without bound. The operations that the sandbox allows are in `template_sandbox`.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from jinja2 import TemplateSyntaxError, nodes
from jinja2.lexer import TokenStream
from jinja2.parser import Parser

from promptflow_codegen.template_sandbox import FlowEnvironment

MAX_LENGTH = 64 * 1024
MAX_DEPTH = 40
MAX_LOOPS = 2
"""`for` inside `for` inside ... of one template."""

Path = tuple[str | int, ...]

_ALLOWED_STATEMENTS = (nodes.Output, nodes.If, nodes.For)


class TemplateKind(StrEnum):
    """What a string of a flow file is; `EXPRESSION` alone keeps its native type."""

    LITERAL = "literal"
    EXPRESSION = "expression"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Read:
    """One value that a template reads: ('steps', 'ocr', 'text'), and where in the template each part of it stands."""

    path: Path
    offsets: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ParsedTemplate:
    """A template that can be rendered. `expression` is what stands inside the braces, "" where there is more.

    `direct` is what is read where the whole template is one plain read, as in `{{ steps.ocr.text }}`; `body` are the
    statements, whose `lineno` is an offset.
    """

    source: str
    kind: TemplateKind
    reads: tuple[Read, ...] = ()
    expression: str = ""
    direct: Read | None = None
    body: tuple[nodes.Node, ...] = field(default=(), compare=False, repr=False)

    @property
    def steps(self) -> tuple[str, ...]:
        """The steps that must be over before this can be rendered, in order of first mention."""
        named = (read.path[1] for read in self.reads if read.path[0] == "steps" and len(read.path) > 1)
        return tuple(dict.fromkeys(str(name) for name in named))


class TemplateError(ValueError):
    """A template that cannot be used; `offset` counts characters from its start."""

    def __init__(self, message: str, offset: int = 0, *, code: str = "template-syntax", hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.offset = offset
        self.code = code
        self.hint = hint


def template_environment() -> FlowEnvironment:
    """The environment in which every template is parsed and rendered."""
    return FlowEnvironment()


def parse_template(text: str, environment: FlowEnvironment | None = None) -> ParsedTemplate:
    """Parse one string of a flow file, which may hold no template at all.

    Raises:
        TemplateError: it is no template, uses what the sandbox does not have, or is too long or too deep.
    """
    if not any(opening in text for opening in ("{{", "{%", "{#")):
        return ParsedTemplate(text, TemplateKind.LITERAL)
    if len(text) > MAX_LENGTH:
        raise TemplateError(f"a template is at most {MAX_LENGTH} characters long")
    environment = environment or template_environment()
    tokens = _tokens(text, environment)
    template = _parse(text, tokens, environment)
    _check_depth(template)
    reads = tuple(_Reader(environment).statements(template.body, frozenset(), loops=0))
    expression = _sole_expression(template)
    if expression is None:
        return ParsedTemplate(text, TemplateKind.TEXT, reads, body=tuple(template.body))
    inner = _between_braces(text, tokens)
    return ParsedTemplate(text, TemplateKind.EXPRESSION, reads, inner, plain_read(expression), tuple(template.body))


def plain_read(node: nodes.Node) -> Read | None:
    """`node` as a plain read such as `steps.ocr.words[0]`; None for any other expression."""
    match node:
        case nodes.Name(name=name):
            return Read((name,), (node.lineno,))
        case nodes.Getattr(node=inner, attr=attribute):
            return _extended(plain_read(inner), attribute, node.lineno + 1)
        case nodes.Getitem(node=inner, arg=nodes.Const(value=str() | int() as key)) if not isinstance(key, bool):
            return _extended(plain_read(inner), key, node.lineno + 1)
        case _:
            return None


def nearest(word: str, candidates: Collection[str]) -> str:
    """The candidate that `word` is most likely a slip of, or ""."""
    return next(iter(difflib.get_close_matches(word[:80], sorted(candidates), n=1)), "")


@dataclass(frozen=True, slots=True)
class _Token:
    offset: int
    kind: str
    text: str


def _tokens(text: str, environment: FlowEnvironment) -> tuple[_Token, ...]:
    found: list[_Token] = []
    offset = 0
    try:
        for _, kind, value in environment.lexer.tokeniter(text, None):
            # Whitespace that `{{-` strips is in no token: look for the next one instead of adding up lengths.
            start = max(text.find(value, offset), offset)
            found.append(_Token(start, kind, value))
            offset = start + len(value)
    except TemplateSyntaxError as error:
        raise TemplateError(_sentence(error), offset) from None
    return tuple(found)


def _parse(text: str, tokens: tuple[_Token, ...], environment: FlowEnvironment) -> nodes.Template:
    # Jinja carries the "line" of a token through to its nodes and errors: given offsets, it answers offsets.
    placed = ((token.offset, token.kind, token.text) for token in tokens)
    try:
        parser = Parser(environment, text)
        parser.stream = TokenStream(environment.lexer.wrap(placed), None, None)
        return parser.parse()
    except TemplateSyntaxError as error:
        raise TemplateError(_sentence(error), min(error.lineno, len(text))) from None
    except RecursionError:
        raise TemplateError(f"expressions nest at most {MAX_DEPTH} deep", code="template-limit") from None
    except ValueError as error:
        raise TemplateError(str(error)) from None


def _sentence(error: TemplateSyntaxError) -> str:
    message = (error.message or "not a template").rstrip(".")
    return message[:1].lower() + message[1:]


def _check_depth(template: nodes.Template) -> None:
    level: list[nodes.Node] = [template]
    for _ in range(MAX_DEPTH):
        level = [child for node in level for child in node.iter_child_nodes()]
        if not level:
            return
    raise TemplateError(f"expressions nest at most {MAX_DEPTH} deep", level[0].lineno, code="template-limit")


def _sole_expression(template: nodes.Template) -> nodes.Expr | None:
    match template.body:
        case [nodes.Output(nodes=[expression])] if not isinstance(expression, nodes.TemplateData):
            return expression
        # A block scalar ends in a line break that is nobody's wish.
        case [nodes.Output(nodes=[expression, nodes.TemplateData(data=tail)])] if not isinstance(
            expression, nodes.TemplateData
        ) and not tail.strip("\n"):
            return expression
        case _:
            return None


def _between_braces(text: str, tokens: tuple[_Token, ...]) -> str:
    begin = next(token for token in tokens if token.kind == "variable_begin")
    end = next(token for token in reversed(tokens) if token.kind == "variable_end")
    return text[begin.offset + len(begin.text) : end.offset].strip()


def _extended(read: Read | None, key: str | int, offset: int) -> Read | None:
    return None if read is None else Read((*read.path, key), (*read.offsets, offset))


class _Reader:
    """Walks a template and yields what it reads; refuses what the sandbox does not have."""

    def __init__(self, environment: FlowEnvironment) -> None:
        self._environment = environment

    def statements(self, body: list[nodes.Node], local: frozenset[str], *, loops: int) -> Iterator[Read]:
        for statement in body:
            match statement:
                case nodes.Output(nodes=parts):
                    for part in parts:
                        yield from self._expression(part, local)
                case nodes.If():
                    yield from self._expression(statement.test, local)
                    for branch in (statement.body, list[nodes.Node](statement.elif_), statement.else_):
                        yield from self.statements(branch, local, loops=loops)
                case nodes.For():
                    yield from self._for(statement, local, loops=loops)
                case _:
                    raise TemplateError(
                        f"`{{% {_tag(statement)} %}}` is not allowed in a template",
                        statement.lineno or 0,
                        code="template-statement",
                        hint="templates have `if` and `for`; put anything else into a step of its own",
                    )

    def _for(self, loop: nodes.For, local: frozenset[str], *, loops: int) -> Iterator[Read]:
        if loop.recursive or loops >= MAX_LOOPS:
            message = f"`for` is never recursive and nests at most {MAX_LOOPS} deep"
            raise TemplateError(message, loop.lineno, code="template-limit")
        yield from self._expression(loop.iter, local)
        inner = local | {name.name for name in _names(loop.target)} | {"loop"}
        if loop.test is not None:
            yield from self._expression(loop.test, inner)
        yield from self.statements(loop.body, inner, loops=loops + 1)
        yield from self.statements(loop.else_, local, loops=loops)

    def _expression(self, node: nodes.Node, local: frozenset[str]) -> Iterator[Read]:
        match node:
            case nodes.Name() | nodes.Getattr() | nodes.Getitem():
                yield from self._read(node, local)
                return
            case nodes.Call(node=nodes.Name(name=name)) if name in self._environment.globals:
                yield from self._children(node, local, skip=node.node)
                return
            case nodes.Call(node=nodes.Getattr(node=owner)):
                yield from self._expression(owner, local)
                yield from self._children(node, local, skip=node.node)
                return
            case nodes.Filter():
                self._check_known(node.name, node.lineno, "filter", self._environment.filters)
            case nodes.Test():
                self._check_known(node.name, node.lineno, "test", self._environment.tests)
            case _:
                pass
        yield from self._children(node, local)

    def _children(self, node: nodes.Node, local: frozenset[str], skip: nodes.Node | None = None) -> Iterator[Read]:
        for child in node.iter_child_nodes():
            if child is not skip:
                yield from self._expression(child, local)

    def _read(self, node: nodes.Node, local: frozenset[str]) -> Iterator[Read]:
        """The longest plain path from the left; subscripts that are computed are reads of their own."""
        outer: list[nodes.Node] = []
        read = plain_read(node)
        while read is None and isinstance(node, nodes.Getattr | nodes.Getitem):
            outer.append(node)
            node = node.node
            read = plain_read(node)
        if read is None:
            yield from self._expression(node, local)
        elif read.path[0] not in local and read.path[0] not in self._environment.globals:
            yield read
        for link in outer:
            if isinstance(link, nodes.Getitem):
                yield from self._expression(link.arg, local)

    def _check_known(self, name: str, offset: int, what: str, known: Collection[str]) -> None:
        if name in known:
            return
        close = nearest(name, known)
        hint = f"did you mean `{close}`?" if close else f"{what}s are {', '.join(sorted(known))}"
        raise TemplateError(f"unknown {what} `{name}`", offset, code=f"unknown-{what}", hint=hint)


def _names(target: nodes.Node) -> Iterator[nodes.Name]:
    if isinstance(target, nodes.Name):
        yield target
    yield from target.find_all(nodes.Name)


def _tag(statement: nodes.Node) -> str:
    match statement:
        case nodes.Assign() | nodes.AssignBlock():
            return "set"
        case nodes.FromImport():
            return "from"
        case nodes.Scope() | nodes.EvalContextModifier():
            return "autoescape"
        case _:
            return type(statement).__name__.removesuffix("Block").lower() or "block"
