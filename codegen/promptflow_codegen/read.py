"""A parsed YAML file as a flow: every key known, every value of the shape that its key asks for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from promptflow_codegen.diagnostics import Report
from promptflow_codegen.nodes import FlowNode, InputNode, OutputNode, Word
from promptflow_codegen.read_keys import Keys, check_name, name_of
from promptflow_codegen.read_steps import read_steps
from promptflow_codegen.tree import ListNode, MapNode, Node, ScalarNode, node_at, shape_of, to_plain
from promptflow_core.type_syntax import FIELD_KEYS, FIELD_NAME, TypeSyntaxError, parse_field, parse_type
from promptflow_core.types import SCALARS, FieldType, ValueType

FLOW_KEYS = ("name", "version", "description", "labels", "inputs", "steps", "outputs", "order", "timeout")
FLOW_KEYS_PLANNED = ("priority", "concurrency", "retention", "cancel_on_disconnect")
OUTPUT_FIELD_KEYS = ("name", "type", "required", "description", "fields", "values", "deprecated")
OUTPUT_KEYS = ("type", "value", "fields", "values", "description", "deprecated")

_MAX_VERSION = 9999
_INPUT_HINT = "write `- {name: text, type: string, required: true}`"


def read_flow(file: str, root: Node, report: Report) -> FlowNode | None:
    """The flow of one file; None where it has no name or no steps to go on with."""
    if not isinstance(root, MapNode):
        report.error("wrong-shape", root.position, f"a flow file is a mapping, not {shape_of(root)}")
        return None
    keys = Keys(root, "the flow", report)
    keys.check_known(FLOW_KEYS, FLOW_KEYS_PLANNED)
    name = keys.name()
    inputs = tuple(_read_inputs(keys.list("inputs"), report))
    steps = tuple(read_steps(keys, report))
    outputs = root.entry("outputs") or root.entry("steps")
    flow = FlowNode(
        file=file,
        name=name or Word("", root.position),
        inputs=inputs,
        steps=steps,
        version=keys.integer("version", 1, range(1, _MAX_VERSION + 1)),
        description=keys.text("description"),
        labels=dict(_read_labels(keys)),
        outputs=_read_outputs(keys),
        outputs_position=outputs.position if outputs else root.position,
        is_sequential=_read_order(keys),
        timeout_ms=keys.duration_ms("timeout"),
    )
    return flow if name is not None and steps else None


def read_field(node: MapNode, report: Report) -> FieldType | None:
    """One declared field: an input, or a field inside one."""
    known = _check_field_keys(node, report)
    try:
        return parse_field(to_plain(node)) if known else None
    except TypeSyntaxError as error:
        report_type_error(error, node, report)
    except (OverflowError, RecursionError):
        report.error("bad-type", node.position, "`pattern` is too large to be compiled")
    return None


def report_type_error(error: TypeSyntaxError, node: Node, report: Report, *, code: str = "bad-type") -> None:
    """Report what is wrong with a type at its place inside `node`."""
    place = node_at(node, error.path)
    if error.path[-1:] == ("name",) and (not isinstance(place, ScalarNode) or not isinstance(place.value, str)):
        name_of(place, report)
    else:
        report.error(code, place.position, str(error), error.hint)


def _read_inputs(items: Sequence[Node], report: Report) -> Iterator[InputNode]:
    for item in items:
        if not isinstance(item, MapNode):
            report.error("wrong-shape", item.position, f"an input is a mapping, not {shape_of(item)}", _INPUT_HINT)
            continue
        if Keys(item, "an input", report).name() is None:
            _check_field_keys(item, report)
            continue
        field = read_field(item, report) or _stand_in(item)
        if field is not None:
            entry = item.entry("name")
            yield InputNode(field, entry.value.position if entry else item.position, item)


def _stand_in(node: MapNode) -> FieldType | None:
    """An input that cannot be read, so that templates may mention it: one mistake is not reported twice."""
    name = to_plain(node).get("name")
    return FieldType(name, SCALARS["json"]) if isinstance(name, str) and FIELD_NAME.fullmatch(name) else None


def _check_field_keys(node: MapNode, report: Report, known: Sequence[str] = FIELD_KEYS) -> bool:
    """Report unknown keys, here and below; false where the field cannot be parsed at all."""
    keys = Keys(node, f"`{to_plain(node).get('name', 'a field')}`", report)
    keys.check_known(known)
    keys.text("description")
    readable = _check_values(node, report)
    return _check_inner_keys(node, report, known) and readable


def _check_inner_keys(node: MapNode, report: Report, known: Sequence[str]) -> bool:
    fields, kind = node.entry("fields"), node.entry("type")
    if fields is not None and (kind is None or "object" not in str(to_plain(kind.value))):
        message = "`fields` belongs to the type `object`, or to a list or map of it"
        report.error("bad-type", fields.position, message, "write `type: object`, or drop `fields`")
        return False
    below = fields.value.items if fields is not None and isinstance(fields.value, ListNode) else ()
    checked = [_check_field_keys(item, report, known) for item in below if isinstance(item, MapNode)]
    return all(checked)


def _check_values(node: MapNode, report: Report) -> bool:
    entry, kind = node.entry("values"), node.entry("type")
    if entry is None:
        return True
    if not isinstance(entry.value, ListNode) or not all(isinstance(item, ScalarNode) for item in entry.value.items):
        report.error("wrong-shape", entry.value.position, "`values` is not a list of texts")
        return False
    is_enum = kind is not None and "enum" in str(to_plain(kind.value))
    words = [item for item in entry.value.items if isinstance(item, ScalarNode)]
    other = [item for item in words if not isinstance(item.value, str)] if is_enum else []
    for item in other:
        message = f"enum value `{item.written}` is {shape_of(item)} in YAML, not a text"
        report.error("bad-type", item.position, message, f'write `"{item.written}"`')
    return not other


def _read_labels(keys: Keys) -> Iterator[tuple[str, str]]:
    node = keys.mapping("labels")
    labels = Keys(node, "`labels`", keys.report) if node else None
    for entry in node.entries if node else ():
        scalar = labels.scalar_text(entry) if labels else None
        if scalar is not None:
            yield entry.key, str(scalar.value)


def _read_order(keys: Keys) -> bool:
    order = keys.text("order")
    entry = keys.optional("order")
    if order and order != "sequential" and entry:
        message = f"unknown order `{order[:40]}`"
        hint = "`sequential` runs the steps as listed; without `order` each runs as soon as what it reads is there"
        keys.report.error("bad-value", entry.value.position, message, hint)
    return order == "sequential"


def _read_outputs(keys: Keys) -> tuple[OutputNode, ...] | None:
    node = keys.mapping("outputs")
    if node is None:
        return None
    if not node.entries:
        keys.report.error("bad-output", node.position, "`outputs` names nothing", "leave it out to get every step")
    found: list[OutputNode] = []
    for entry in node.entries:
        if not check_name(entry.key, entry.position, keys.report):
            continue
        name = Word(entry.key, entry.position)
        if isinstance(entry.value, MapNode):
            found += _read_typed_output(name, entry.value, keys.report)
        elif isinstance(entry.value, ScalarNode) and entry.value.value is not None:
            found.append(OutputNode(name, entry.value))
        else:
            _report_output(name, entry.value, keys.report)
    return tuple(found)


def _read_typed_output(name: Word, node: MapNode, report: Report) -> Iterator[OutputNode]:
    keys = Keys(node, f"output `{name.text}`", report)
    keys.check_known(OUTPUT_KEYS)
    entry = node.entry("value")
    if entry is None:
        _report_output(name, node, report)
        return
    declared = _read_output_type(keys)
    yield OutputNode(name, entry.value, declared, keys.text("description"), keys.boolean("deprecated"))


def _read_output_type(keys: Keys) -> ValueType | None:
    if keys.optional("type") is None or not _check_inner_keys(keys.node, keys.report, OUTPUT_FIELD_KEYS):
        return None
    plain = to_plain(keys.node)
    try:
        return parse_type(plain["type"], fields=plain.get("fields"), values=plain.get("values"))
    except TypeSyntaxError as error:
        report_type_error(error, keys.node, keys.report)
        return None


def _report_output(name: Word, node: Node, report: Report) -> None:
    message = f"output `{name.text}` is {shape_of(node)}, not a template"
    report.error("bad-output", node.position, message, 'write `"{{ … }}"`, or `{type: …, value: "{{ … }}"}`')
