"""Outputs: what they read exists, and each has a type."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from promptflow_codegen.check.fit import in_json
from promptflow_codegen.check.shapes import MAX_FIELDS, misshapen, normalised
from promptflow_codegen.check.templates import TemplateCheck
from promptflow_codegen.checked import CheckedOutput
from promptflow_codegen.diagnostics import Report
from promptflow_codegen.naming import folded
from promptflow_codegen.nodes import OutputNode
from promptflow_codegen.tree import ScalarNode, shape_of
from promptflow_core.types import SCALARS, EnumType, ListType, ObjectType, ValueType, spelling

_TYPE_HINT = 'write `{type: …, value: "{{ … }}"}`'


def check_outputs(outputs: Sequence[OutputNode], check: TemplateCheck, report: Report) -> tuple[CheckedOutput, ...]:
    """The outputs with their types; those that cannot be used are left out, which is reported."""
    if len(outputs) > MAX_FIELDS:
        report.error("too-many", outputs[MAX_FIELDS].name.position, f"a flow has at most {MAX_FIELDS} outputs")
        return ()
    seen: dict[str, str] = {}
    for output in outputs:
        name = output.name.text
        twin = seen.setdefault(folded(name), name)
        if twin != name:
            message = f"output `{name}` collides with `{twin}`"
            report.error("name-collision", output.name.position, message, "rename one of them")
    return tuple(_typed(outputs, check, report))


def _typed(outputs: Sequence[OutputNode], check: TemplateCheck, report: Report) -> Iterator[CheckedOutput]:
    for output in outputs:
        value_type = _declared(output, check, report) if output.type else _inferred(output, check, report)
        if value_type is not None:
            yield CheckedOutput(output, value_type)


def _declared(output: OutputNode, check: TemplateCheck, report: Report) -> ValueType | None:
    assert output.type is not None
    check.value(output.value, output.type, f"output `{output.name.text}`")
    problems = tuple(misshapen(output.type))
    for problem in problems:
        report.error("bad-type", output.name.position, f"output `{output.name.text}`: {problem}")
    return None if problems else normalised(output.type)


def _declaration_hint(found: ValueType | None) -> str:
    """What to write; types that are found out in other ways than by reading may be found out better some day."""
    match found:
        case None | ObjectType() | EnumType() | ListType(element=ObjectType() | EnumType()):
            return _TYPE_HINT
        case _:
            return f'write `{{type: {spelling(found)}, value: "{{{{ … }}}}"}}`'


def _inferred(output: OutputNode, check: TemplateCheck, report: Report) -> ValueType | None:
    match output.value:
        case ScalarNode(value=str()) as node:
            result = check.infer(node)
            if result is None:
                return None
            if result.type is None or not result.is_plain:
                problem = None if result.type is None else in_json(result.type)
                if problem is not None:
                    message = f"output `{output.name.text}` has no type and becomes json, but {problem.what('this')}"
                    report.error("untyped-output", node.position, message, _declaration_hint(result.type))
                    return None
                message = f"the type of output `{output.name.text}` cannot be told; it becomes `json`"
                report.warning("untyped-output", node.position, message, _declaration_hint(result.type))
                return SCALARS["json"]
            return result.type
        case ScalarNode(value=bool()):
            return SCALARS["boolean"]
        case ScalarNode(value=int()):
            return SCALARS["integer"]
        case ScalarNode(value=float()):
            return SCALARS["number"]
        case node:
            message = f"output `{output.name.text}` is {shape_of(node)} without a type"
            report.error("bad-output", node.position, message, _TYPE_HINT)
            return None
