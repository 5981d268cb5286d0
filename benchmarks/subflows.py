"""What the machine costs per call of a flow that is run for each item of a list: `python benchmarks/subflows.py`.

No I/O: turns with eight answers each, CPU time, medians of several runs. Nothing may grow with the number of items;
beside it stands the same number of calls in three plain for_each steps.
"""

from __future__ import annotations

import argparse
import statistics
import time
from random import Random

from promptflow_codegen.plan import FlowPlan, FlowRef, StepPlan
from promptflow_core.records import ExecutionRecord, ExecutionStatus
from promptflow_core.types import SCALARS, FieldType, ListType, ObjectType
from promptflow_server.engine.machine import Transition, advance
from promptflow_server.engine.program import Program
from promptflow_server.engine.run_state import RunState
from promptflow_server.engine.templates import TemplateEngine
from promptflow_server.engine.transitions import CallFinished, Opened, RunEvent, StartCall

VALUE = ObjectType((FieldType("value", SCALARS["json"]),))
TEXT = ObjectType((FieldType("text", SCALARS["string"]),))
TAGS = ObjectType((FieldType("tags", ListType(SCALARS["string"])),))
ANSWERS = 8


def nested() -> Program:
    """A flow of three steps, run for each item."""
    steps = [_step("a", "{{ inputs.text }}"), _step("b", "{{ steps.a.value }}", "a"), _step("c", "x", "b")]
    inner = _program("inner", TEXT, *steps)
    config = {"text": "{{ item }}"}
    each = StepPlan("each", "", None, VALUE, config, for_each="{{ inputs.tags }}", flow=FlowRef("inner"))
    return _program("outer", TAGS, each, callees={FlowRef("inner"): inner})


def flat() -> Program:
    """Three steps, each over all items."""
    steps = [_step("a", "{{ item }}", over="tags"), _step("b", "{{ item }}", "a", over="tags")]
    return _program("outer", TAGS, *steps, _step("c", "{{ item }}", "b", over="tags"))


def measure(program: Program, items: int) -> tuple[float, float]:
    """Microseconds per call, and the longest turn in milliseconds."""
    state = RunState.of(program, _record(items), server="s", epoch=1)
    running: list[str] = []
    longest, calls = 0.0, 0
    begin = time.process_time()
    events: list[RunEvent] = [Opened()]
    while not state.record.status.is_terminal:
        before = time.process_time()
        transition: Transition = advance(state, events, now_ms=1_000, rng=Random(0))
        longest = max(longest, time.process_time() - before)
        state = transition.state
        running += [command.call.id for command in transition.commands if isinstance(command, StartCall)]
        events = [CallFinished(call_id, output={"value": "x"}) for call_id in running[:ANSWERS]]
        calls += len(events)
        del running[:ANSWERS]
    return (time.process_time() - begin) / calls * 1e6, longest * 1e3


def _step(name: str, value: str, *needs: str, over: str = "") -> StepPlan:
    for_each = f"{{{{ inputs.{over} }}}}" if over else None
    return StepPlan(name, "echo", "q", VALUE, {"value": value}, needs, for_each=for_each)


def _program(name: str, inputs: ObjectType, *steps: StepPlan, callees: dict[FlowRef, Program] | None = None) -> Program:
    plan = FlowPlan(name, 1, "p", "S", inputs, steps, ObjectType(()))
    return Program(plan, TemplateEngine(plan), callees or {})


def _record(items: int) -> ExecutionRecord:
    return ExecutionRecord("x", "outer", 1, "d", ExecutionStatus.QUEUED, 1, {"tags": ["t"] * items}, created_at_ms=1)


def main() -> None:
    """Print a line for each shape and size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, nargs="+", default=[100, 1000, 3000])
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    for items in arguments.items:
        for shape, program in (("sub-flow", nested()), ("plain", flat())):
            found = [measure(program, items) for _ in range(arguments.runs)]
            each_us = statistics.median(one for one, _ in found)
            longest_ms = statistics.median(one for _, one in found)
            total_ms = each_us * items * 3 / 1e3
            print(f"{shape:<9}{items:>5}: {total_ms:7.0f} ms, {each_us:5.0f} us/call, longest turn {longest_ms:.1f} ms")


if __name__ == "__main__":
    main()
