"""TemplateEngine: the templates of one plan, compiled once, rendered with native types and within limits."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from jinja2 import Template, TemplateError, Undefined, UndefinedError, nodes
from jinja2.runtime import Context

from promptflow_codegen.plan import FlowPlan, StepPlan
from promptflow_codegen.template_sandbox import TemplateLimitError
from promptflow_codegen.template_syntax import ParsedTemplate, TemplateKind, parse_template
from promptflow_codegen.template_syntax import TemplateError as TemplateSyntaxError
from promptflow_core.coercion import CoercionError, coerce
from promptflow_core.errors import FlowError, Reason
from promptflow_core.types import ListType, MapType, ObjectType, ValueType
from promptflow_core.values import NativeValue, encode_value
from promptflow_server.engine.scope import Item, Scope
from promptflow_server.engine.template_budget import (
    Budget,
    BudgetedEnvironment,
    NotAValueError,
    TemplateLimits,
    budgeted,
    native,
    spending,
)
from promptflow_server.engine.template_misses import MethodOrMiss, SkippedStep, StrictMiss, explain

MAX_ITEMS = 10_000
"""Items of one for_each step: each is a record of the run."""

Variables = Mapping[str, NativeValue]

_FAILURES = (
    # What operations of a template raise on values that they were not made for; Jinja asserts some arguments.
    *(TemplateError, NotAValueError, ArithmeticError, AssertionError, AttributeError, LookupError),
    *(MemoryError, TypeError, ValueError),
)


@dataclass(frozen=True, slots=True)
class _Compiled:
    """A template at its place in the flow file; `template` None where the text holds none."""

    place: str
    parsed: ParsedTemplate
    template: Template | None
    step: str = ""


class TemplateEngine:
    """Renders the templates of one plan; safe to use from several threads at once.

    Raises:
        FlowError: TEMPLATE_FAILED, a template of the plan cannot be compiled by this release.
    """

    def __init__(
        self,
        plan: FlowPlan,
        *,
        limits: TemplateLimits | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._plan = plan
        self._limits = limits or TemplateLimits()
        self._clock = clock
        self._environment = _Environment(StrictMiss)
        self._is_heavy = False
        self._conditions = {
            step.name: self._compile(step.condition, "condition", step.name)
            for step in plan.steps
            if step.condition is not None
        }
        self._lists = {
            step.name: self._compile(step.for_each, "for_each", step.name)
            for step in plan.steps
            if step.for_each is not None
        }
        self._configs = {step.name: self._compile_tree(step.config, "config", step.name) for step in plan.steps}
        self._outputs = None if plan.outputs is None else self._compile_tree(plan.outputs, "outputs", "")

    @property
    def is_light(self) -> bool:
        """No template loops or repeats: it takes no longer than reading its values, and may be rendered on the loop."""
        return not self._is_heavy

    def condition(self, step: StepPlan, scope: Scope) -> bool:
        """Whether the step runs."""
        compiled = self._conditions[step.name]
        value = self._render(compiled, self._variables(scope))
        if not isinstance(value, bool):
            raise self._failed(compiled, f"a condition is true or false, not {type(value).__name__}")
        return value

    def items(self, step: StepPlan, scope: Scope) -> list[NativeValue]:
        """The list that a for_each step goes over."""
        compiled = self._lists[step.name]
        value = self._render(compiled, self._variables(scope))
        if not isinstance(value, list):
            raise self._failed(compiled, f"`for_each` goes over a list, not {type(value).__name__}")
        items: list[NativeValue] = value  # pyright: ignore[reportUnknownVariableType]
        if len(items) > MAX_ITEMS:
            raise self._failed(
                compiled, f"`for_each` goes over at most {MAX_ITEMS} items, not {len(items)}", Reason.TEMPLATE_LIMIT
            )
        return items

    def config(self, step: StepPlan, scope: Scope, item: Item | None) -> bytes:
        """The config of one call, rendered, as msgpack."""
        try:
            return encode_value(self._rendered_config(step, scope, item))
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            message = f"step `{step.name}`: the rendered config cannot be stored: {error}"
            raise FlowError(Reason.TEMPLATE_FAILED, message, metadata={"step": step.name}) from None

    def inputs(self, step: StepPlan, scope: Scope, item: Item | None) -> Mapping[str, NativeValue]:
        """What a step gives to the flow that it runs, rendered."""
        rendered = self._rendered_config(step, scope, item)
        assert isinstance(rendered, dict)
        return rendered  # pyright: ignore[reportUnknownVariableType]

    def _rendered_config(self, step: StepPlan, scope: Scope, item: Item | None) -> NativeValue:
        variables = self._variables(scope)
        if item is not None:
            variables |= {step.items_name: item.value, "index": item.index}
        return self._render_tree(self._configs[step.name], variables)

    def result(self, scope: Scope) -> Mapping[str, NativeValue]:
        """The result of the run, of the plan's result type."""
        if self._outputs is None:
            return {step.name: scope.steps[step.name] for step in self._plan.steps if step.name in scope.steps}
        rendered = self._render_tree(self._outputs, self._variables(scope))
        try:
            fitted: Mapping[str, NativeValue] = coerce(rendered, self._plan.result)
            encode_value(dict(fitted))
        except (CoercionError, TypeError, ValueError, OverflowError, RecursionError) as error:
            path = error.path if isinstance(error, CoercionError) else ""
            metadata = {"template": f"outputs.{path}"} if path else {}
            raise FlowError(Reason.OUTPUT_INVALID, f"`outputs`: {error}", metadata=metadata) from None
        return fitted

    def _compile_tree(self, value: Any, place: str, step: str) -> Any:
        match value:
            case str():
                compiled = self._compile(value, place, step)
                return value if compiled.template is None else compiled
            case Mapping():
                entries: Mapping[str, Any] = value  # pyright: ignore[reportUnknownVariableType]
                return {key: self._compile_tree(inner, f"{place}.{key}", step) for key, inner in entries.items()}
            case list() | tuple():
                items = enumerate(cast("Sequence[Any]", value))
                return [self._compile_tree(inner, f"{place}[{index}]", step) for index, inner in items]
            case _:
                return value

    def _compile(self, text: str, place: str, step: str) -> _Compiled:
        try:
            parsed = parse_template(text, self._environment)
            match parsed.kind:
                case TemplateKind.LITERAL:
                    return _Compiled(place, parsed, None, step)
                case TemplateKind.EXPRESSION:
                    expression = _expression_of(self._environment.parse(text))
                    tree = nodes.Template([nodes.Assign(nodes.Name("result", "store"), expression, lineno=1)], lineno=1)
                case TemplateKind.TEXT:
                    tree = self._environment.parse(text)
            self._is_heavy |= any(True for kind in (nodes.For, nodes.Mul) for _ in tree.find_all(kind))
            tree = budgeted(tree)
            tree.set_environment(self._environment)
            return _Compiled(place, parsed, self._environment.from_string(tree), step)
        except (TemplateSyntaxError, TemplateError) as error:
            raise self._failed(
                _Compiled(place, ParsedTemplate(text, TemplateKind.TEXT), None, step), str(error)
            ) from None

    def _render_tree(self, tree: Any, variables: Variables) -> NativeValue:
        match tree:
            case _Compiled():
                return self._render(tree, variables)
            case dict():
                entries: dict[str, Any] = tree  # pyright: ignore[reportUnknownVariableType]
                return {key: self._render_tree(inner, variables) for key, inner in entries.items()}
            case list():
                return [self._render_tree(inner, variables) for inner in tree]  # pyright: ignore[reportUnknownVariableType]
            case _:
                return tree

    def _render(self, compiled: _Compiled, variables: Variables) -> NativeValue:
        template = compiled.template
        if template is None:
            return compiled.parsed.source
        if compiled.parsed.direct is not None:
            is_there, value = _follow(compiled.parsed.direct.path, variables)
            if is_there:
                return value
        try:
            return self._evaluate(compiled, template, variables)
        except UndefinedError as error:
            return self._undefined(compiled, variables, error)
        except TemplateLimitError as error:
            raise self._failed(compiled, str(error), Reason.TEMPLATE_LIMIT) from None
        except RecursionError:
            raise self._failed(compiled, "it nests too deep", Reason.TEMPLATE_LIMIT) from None
        except _FAILURES as error:
            raise self._failed(compiled, str(error) or type(error).__name__) from None

    def _evaluate(self, compiled: _Compiled, template: Template, variables: Variables) -> NativeValue:
        with spending(Budget(self._limits, self._clock)) as budget:
            context = template.new_context(dict(variables))
            pieces = template.root_render_func(context)
            if compiled.parsed.kind is TemplateKind.TEXT:
                return "".join(_put_out(pieces, budget))
            for _ in pieces:
                pass
            return native(context.vars["result"], budget)

    def _undefined(self, compiled: _Compiled, variables: Variables, error: UndefinedError) -> NativeValue:
        """Absent values of declared fields are null where nothing is done with them; all else is a failure."""
        direct = compiled.parsed.direct
        if direct is not None and self._is_declared(direct.path, variables):
            return None
        raise self._failed(compiled, explain(compiled.parsed.reads, variables, self._plan, error)) from None

    def _is_declared(self, path: tuple[str | int, ...], variables: Variables) -> bool:
        match path:
            case ("inputs", *fields):
                declared: ValueType = self._plan.inputs
            case ("steps", str() as name, *fields) if name in self._configs and not isinstance(
                variables["steps"].get(name), SkippedStep
            ):
                declared = self._plan.step(name).output
            case _:
                return False
        for field in fields:
            found = declared.field(field) if isinstance(declared, ObjectType) and isinstance(field, str) else None
            if found is None:
                return False
            declared = found.type
        return True

    def _variables(self, scope: Scope) -> dict[str, NativeValue]:
        steps = {**scope.steps, **{name: SkippedStep.of(name) for name in scope.skipped}}
        return {"inputs": _with_empties(scope.inputs, self._plan.inputs), "steps": steps, "system": scope.system}

    def _failed(self, compiled: _Compiled, why: str, reason: Reason = Reason.TEMPLATE_FAILED) -> FlowError:
        source = compiled.parsed.source.strip()
        shown = source if len(source) <= 120 else source[:117] + "…"
        where = f"step `{compiled.step}`, `{compiled.place}`" if compiled.step else f"`{compiled.place}`"
        metadata = {"template": compiled.place} | ({"step": compiled.step} if compiled.step else {})
        return FlowError(reason, f"{where}: `{shown}`: {why}", metadata=metadata)


class _Environment(BudgetedEnvironment):
    """What lies below a skipped step is as absent as the step, and a field is never mistaken for a method."""

    def getattr(self, obj: Any, attribute: str) -> Any:
        if isinstance(obj, SkippedStep):
            return obj
        return _field_first(obj, attribute, super().getattr(obj, attribute))

    def getitem(self, obj: Any, argument: Any) -> Any:
        if isinstance(obj, SkippedStep):
            return obj
        return _field_first(obj, argument, super().getitem(obj, argument))

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805 - as in Jinja2
        called = __obj.method if isinstance(__obj, MethodOrMiss) else __obj
        return super().call(__context, called, *args, **kwargs)


def _field_first(obj: Any, name: Any, found: Any) -> Any:
    is_method = isinstance(obj, Mapping) and name not in obj and not isinstance(found, Undefined)
    return MethodOrMiss.of(obj, name, found) if is_method else found


def _expression_of(template: nodes.Template) -> nodes.Expr:
    output = template.body[0]
    assert isinstance(output, nodes.Output)
    return output.nodes[0]


def _put_out(pieces: Iterator[str], budget: Budget) -> Iterator[str]:
    for piece in pieces:
        budget.put_out(len(piece))
        budget.spend(len(piece))
        yield piece


def _follow(path: tuple[str | int, ...], variables: Variables) -> tuple[bool, NativeValue]:
    """The value at a path of plain keys, where it is there: the common case, without a template's cost or limits."""
    value: Any = variables
    for key in path:
        match value:
            case Mapping() if key in value:
                value = value[key]  # pyright: ignore[reportUnknownVariableType]
            case list() if isinstance(key, int) and 0 <= key < len(value):  # pyright: ignore[reportUnknownArgumentType]
                value = value[key]  # pyright: ignore[reportUnknownVariableType]
            case _:  # pyright: ignore[reportUnknownVariableType]
                return False, None
    return path != ("steps",) and not isinstance(value, SkippedStep), value  # pyright: ignore[reportUnknownVariableType]


def _with_empties(values: Mapping[str, NativeValue], declared: ObjectType) -> Mapping[str, NativeValue]:
    """The values with [] and {} where a declared list or map is absent: a message cannot tell the two apart."""
    filled = dict(values)
    for field in declared.fields:
        value = filled.get(field.name)
        match field.type:
            case ListType() if value is None:
                filled[field.name] = []
            case MapType() if value is None:
                filled[field.name] = {}
            case ObjectType() as inner if isinstance(value, Mapping):
                filled[field.name] = _with_empties(value, inner)  # pyright: ignore[reportUnknownArgumentType]
            case _:
                pass
    return filled
