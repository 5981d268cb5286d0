"""The steps of a flow file: what each runs, on what, when, and how often it tries."""

from __future__ import annotations

import re
from collections.abc import Iterator

from promptflow_codegen.diagnostics import Report
from promptflow_codegen.nodes import CalleeNode, StepNode, Word
from promptflow_codegen.plan import NO_RETRY, FlowRef
from promptflow_codegen.read_keys import Keys, name_of
from promptflow_codegen.tree import ListNode, MapNode, ScalarNode, shape_of
from promptflow_core.retry import RetryPolicy
from promptflow_core.type_syntax import FIELD_NAME

STEP_KEYS = (
    "name",
    "executor",
    "flow",
    "config",
    "needs",
    "condition",
    "for_each",
    "as",
    "max_parallel",
    "retry",
    "timeout",
    "description",
)
STEP_KEYS_PLANNED = ("on_item_error", "until", "max_iterations", "on_error", "cache")
RETRY_KEYS = ("max_attempts", "initial", "max", "multiplier")

_VERSION = re.compile(r"[1-9]\d{0,3}", re.ASCII)
_MAX_PARALLEL = 10_000
_MAX_ATTEMPTS = 100
_STEP_HINT = "write `- {name: …, executor: …, config: {…}}`"


def read_steps(keys: Keys, report: Report) -> Iterator[StepNode]:
    """The steps of a flow whose keys are given; those without a name are left out."""
    if keys.required("steps") is None:
        return
    items = keys.list("steps")
    entry = keys.optional("steps")
    if entry is not None and isinstance(entry.value, ListNode) and not items:
        report.error("missing-key", keys.node.position, "the flow has no step", _STEP_HINT)
    for item in items:
        if not isinstance(item, MapNode):
            report.error("wrong-shape", item.position, f"a step is a mapping, not {shape_of(item)}", _STEP_HINT)
            continue
        step = _read_step(item, report)
        if step is not None:
            yield step


def _read_step(node: MapNode, report: Report) -> StepNode | None:
    name = Keys(node, "a step", report).name()
    keys = Keys(node, f"step `{name.text}`" if name else "a step", report)
    keys.check_known(STEP_KEYS, STEP_KEYS_PLANNED)
    executor, callee = _read_work(keys)
    config = keys.mapping("config")
    for_each = _read_template(keys, "for_each")
    step = StepNode(
        name=name or Word("", node.position),
        executor=executor,
        config=config or MapNode((), name.position if name else node.position),
        needs=tuple(_read_needs(keys)),
        condition=_read_template(keys, "condition"),
        for_each=for_each,
        item=_read_item_name(keys),
        max_parallel=keys.integer("max_parallel", 0, range(1, _MAX_PARALLEL + 1)),
        retry=_read_retry(keys),
        timeout_ms=keys.duration_ms("timeout"),
        description=keys.text("description"),
        callee=callee,
    )
    return step if name else None


def _read_work(keys: Keys) -> tuple[Word, CalleeNode | None]:
    """What a step runs: one executor, or one flow."""
    executor, flow = keys.optional("executor"), keys.optional("flow")
    nothing = Word("", keys.node.position)
    if executor is not None and flow is not None:
        message = f"{keys.what} has an `executor` and a `flow`"
        keys.report.error("ambiguous-step", flow.position, message, "a step runs one of the two: remove the other")
        return nothing, None
    if flow is not None:
        return nothing, _read_callee(keys)
    if executor is None:
        entry = keys.node.entry("executor") or keys.node.entry("flow")
        position = entry.position if entry else keys.node.position
        hint = "add `executor: …`, or `flow: …` to run another flow as this step"
        keys.report.error("missing-key", position, f"{keys.what} has no `executor`", hint)
        return nothing, None
    scalar = keys.scalar_text(executor)
    return (Word(str(scalar.value), scalar.position) if scalar else nothing), None


def _read_callee(keys: Keys) -> CalleeNode | None:
    entry = keys.optional("flow")
    scalar = keys.scalar_text(entry) if entry else None
    if scalar is None:
        return None
    name, separator, version = str(scalar.value).partition("@")
    if not separator:
        version = "1"
    if FIELD_NAME.fullmatch(name) and _VERSION.fullmatch(version):
        return CalleeNode(FlowRef(name, int(version)), scalar.position)
    message = f"`{str(scalar.value)[:80]}` names no flow"
    keys.report.error("bad-name", scalar.position, message, "write `flow: name`, or `flow: name@2` for its version 2")
    return None


def _read_template(keys: Keys, key: str) -> ScalarNode | None:
    entry = keys.optional(key)
    return keys.scalar_text(entry) if entry else None


def _read_item_name(keys: Keys) -> Word | None:
    for key in ("as", "max_parallel"):
        entry = keys.optional(key)
        if entry is not None and keys.node.entry("for_each") is None:
            keys.report.error("missing-key", entry.position, f"`{key}` has no meaning without `for_each`")
    return keys.name("as") if keys.optional("as") else None


def _read_needs(keys: Keys) -> Iterator[Word]:
    for item in keys.list("needs"):
        name = name_of(item, keys.report)
        if name is not None:
            yield name


def _read_retry(keys: Keys) -> RetryPolicy:
    node = keys.mapping("retry")
    if node is None:
        return NO_RETRY
    retry = Keys(node, "`retry`", keys.report)
    retry.check_known(RETRY_KEYS)
    default = RetryPolicy()
    initial_ms = retry.duration_ms("initial") or default.initial_ms
    max_ms = retry.duration_ms("max") or max(default.max_ms, initial_ms)
    if max_ms < initial_ms:
        keys.report.error("bad-value", node.position, "`max` of `retry` is shorter than `initial`")
    return RetryPolicy(
        max_attempts=retry.integer("max_attempts", default.max_attempts, range(1, _MAX_ATTEMPTS + 1)),
        initial_ms=initial_ms,
        max_ms=max_ms,
        multiplier=retry.number("multiplier", default.multiplier, 1, 100),
    )
