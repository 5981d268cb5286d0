"""How long a project of many flows takes to generate and to check: `python benchmarks/many_flows_codegen.py`.

The flows are of a realistic mix: a short one, one that decides, one with typed inputs and outputs, one over a list.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from promptflow_codegen.generate import Generated, generate
from promptflow_codegen.project import Project
from promptflow_codegen.write import drift, write
from promptflow_core.executor import Catalog
from promptflow_core.registry import ExecutorRegistry

SHORT = """name: {name}
description: Labels a text.
inputs:
  - {{name: text, type: string, required: true, min_length: 1, max_length: 5000}}
steps:
  - name: analyze
    executor: sentiment_analyzer
    config: {{text: "{{{{ inputs.text }}}}"}}
outputs:
  label: "{{{{ steps.analyze.label }}}}"
  confidence: "{{{{ steps.analyze.confidence }}}}"
"""

DECIDING = """name: {name}
description: A decision chooses which of two paths handles a message.
inputs:
  - {{name: text, type: string, required: true}}
  - {{name: amount, type: number, default: 0, min: 0}}
  - {{name: channel, type: enum, values: [mail, phone, web], default: mail}}
steps:
  - name: route
    executor: decision_maker
    config:
      rules:
        - {{when: "{{{{ inputs.amount >= 100 }}}}", path: a}}
        - {{when: "{{{{ 'urgent' in inputs.text | lower }}}}", path: a}}
      default: b
  - name: path_a
    executor: transform
    condition: "{{{{ steps.route.path == 'a' }}}}"
    config: {{type: string, value: "escalated: {{{{ inputs.text }}}}"}}
  - name: path_b
    executor: transform
    condition: "{{{{ steps.route.path == 'b' }}}}"
    config: {{type: string, value: "filed: {{{{ inputs.text }}}}"}}
outputs:
  path: "{{{{ steps.route.path }}}}"
  text: {{type: string, value: "{{{{ steps.path_a.value | default(steps.path_b.value) }}}}"}}
"""

TYPED = """name: {name}
description: Files an order.
version: 2
inputs:
  - {{name: customer, type: string, required: true, max_length: 80}}
  - {{name: paid, type: boolean, default: false}}
  - {{name: due_at, type: timestamp}}
  - {{name: labels, type: map<string>}}
  - name: lines
    type: object[]
    required: true
    max_length: 100
    fields:
      - {{name: article, type: string, required: true}}
      - {{name: count, type: integer, required: true, min: 1, max: 1000}}
      - {{name: price, type: number, min: 0}}
steps:
  - name: total
    executor: transform
    config: {{type: number, value: "{{{{ inputs.lines | map(attribute='price') | sum }}}}"}}
  - name: filed
    executor: combine
    needs: [total]
    config:
      fields:
        - {{name: customer, type: string, value: "{{{{ inputs.customer }}}}"}}
        - {{name: total, type: number, value: "{{{{ steps.total.value }}}}"}}
        - {{name: is_large, type: boolean, value: "{{{{ steps.total.value > 1000 }}}}"}}
outputs:
  customer: "{{{{ steps.filed.customer }}}}"
  total: "{{{{ steps.filed.total }}}}"
  is_large: "{{{{ steps.filed.is_large }}}}"
"""

LISTED = """name: {name}
description: Labels each sentence of a page.
inputs:
  - {{name: document, type: file, required: true, max_bytes: 10000000}}
  - {{name: languages, type: "string[]"}}
steps:
  - name: ocr
    executor: ocr
    config: {{document: "{{{{ inputs.document }}}}"}}
  - name: sentences
    executor: transform
    config:
      type: string[]
      value: "{{{{ steps.ocr.text | sentences }}}}"
  - name: sentiment
    executor: sentiment_analyzer
    for_each: "{{{{ steps.sentences.value }}}}"
    as: sentence
    config: {{text: "{{{{ sentence }}}}"}}
  - name: labelled
    executor: transform
    config:
      type: object[]
      fields: [{{name: text, type: string}}, {{name: label, type: string}}, {{name: confidence, type: number}}]
      value: "{{{{ steps.sentiment | with_field('text', steps.sentences.value) }}}}"
outputs:
  text: "{{{{ steps.ocr.text }}}}"
  sentences: "{{{{ steps.labelled.value }}}}"
"""

MIX = (SHORT, DECIDING, TYPED, LISTED)


def make_flows(folder: Path, count: int) -> None:
    """Write `count` flows, each of its own name."""
    for index in range(count):
        name = "flow_" + "".join(chr(ord("a") + int(digit)) for digit in f"{index:05}")
        (folder / f"{name}.yaml").write_text(MIX[index % len(MIX)].format(name=name), "utf-8")


def seconds(call: Callable[[], object]) -> tuple[float, float]:
    """How long one call takes: by the clock, and of the processor, which busy neighbours do not stretch."""
    started, started_cpu = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - started, time.process_time() - started_cpu


def main() -> None:
    """Print the first run, and medians of later ones."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flows", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    catalog = ExecutorRegistry.load().catalog()
    with tempfile.TemporaryDirectory(prefix="promptflow-many-") as folder:
        root = Path(folder)
        (root / "flows").mkdir()
        (root / "clients" / "python").mkdir(parents=True)
        make_flows(root / "flows", arguments.flows)
        measure(Project.at(root), catalog, arguments.rounds)


def measure(project: Project, catalog: Catalog, rounds: int) -> None:
    """Generate into an empty tree, generate again, generate after one edit, check."""

    def run() -> None:
        write(project, _right(generate(project, catalog)))

    def check() -> None:
        drift(project, _right(generate(project, catalog)))

    _tell("first generate", [seconds(run)])
    _tell("generate again", [seconds(run) for _ in range(rounds)])
    edited = next(iter(sorted(project.flows_dir.glob("*.yaml"))))
    times: list[tuple[float, float]] = []
    for index in range(rounds):
        edited.write_text(edited.read_text("utf-8").replace("description: ", f"description: {index} "), "utf-8")
        times.append(seconds(run))
    _tell("generate after an edit", times)
    _tell("check", [seconds(check) for _ in range(rounds)])


def _tell(what: str, times: Sequence[tuple[float, float]]) -> None:
    wall, cpu = (statistics.median(column) for column in zip(*times, strict=True))
    print(f"{what}: {wall:.2f} s, {cpu:.2f} s of processor (median of {len(times)})")


def _right(generated: Generated) -> Generated:
    assert not generated.has_errors, generated.diagnostics
    return generated


if __name__ == "__main__":
    main()
