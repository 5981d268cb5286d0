"""How long a project of many flows takes to generate and to check: `make bench-codegen`.

The flows are of a realistic mix: a short one, one that decides, one with typed inputs and outputs, one over a list.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from benchmarks.targets import Taken, taken, tell

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

GENERATE_WITHIN_S, CHECK_WITHIN_S = 10.0, 5.0

MIX = (SHORT, DECIDING, TYPED, LISTED)


def make_flows(folder: Path, count: int) -> None:
    """Write `count` flows, each of its own name."""
    for index in range(count):
        name = "flow_" + "".join(chr(ord("a") + int(digit)) for digit in f"{index:05}")
        (folder / f"{name}.yaml").write_text(MIX[index % len(MIX)].format(name=name), "utf-8")


def main() -> int:
    """Print the figures; 1 where one is above its target."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flows", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    catalog = ExecutorRegistry.load().catalog()
    with tempfile.TemporaryDirectory(prefix="promptflow-many-") as folder:
        roots = [Path(folder) / str(number) for number in range(arguments.rounds)]
        met: list[bool] = []
        for has_client in (False, True):
            for root in roots:
                make_project(root, arguments.flows, has_client=has_client)
            met.append(measure_first(roots, catalog, "with" if has_client else "without"))
        met += measure_later(roots[0], catalog, arguments.rounds)
    return int(not all(met))


def make_project(root: Path, flows: int, *, has_client: bool) -> None:
    """A project that was never generated; its Python client is written where it has a folder for it."""
    shutil.rmtree(root, ignore_errors=True)
    (root / "flows").mkdir(parents=True)
    if has_client:
        (root / "clients" / "python").mkdir(parents=True)
    make_flows(root / "flows", flows)


def measure_first(roots: Sequence[Path], catalog: Catalog, client: str) -> bool:
    """Generate into empty trees."""
    rounds = [taken(partial(_generate, Project.at(root), catalog)) for root in roots]
    return tell(f"first generate {client} a Python client", rounds, target_s=GENERATE_WITHIN_S)


def measure_later(root: Path, catalog: Catalog, rounds: int) -> Iterator[bool]:
    """Generate again, generate after one edit, check; check where nothing is noted, as in a fresh clone."""
    project = Project.at(root)
    again = partial(_generate, project, catalog)
    yield tell("generate again", [taken(again) for _ in range(rounds)], target_s=GENERATE_WITHIN_S)
    edited = min(project.flows_dir.glob("*.yaml"))
    after: list[Taken] = []
    for number in range(rounds):
        edited.write_text(edited.read_text("utf-8").replace("description: ", f"description: {number} "), "utf-8")
        after.append(taken(again))
    yield tell("generate after an edit", after, target_s=GENERATE_WITHIN_S)
    check, check_anew = (partial(_check, project, catalog, notes) for notes in (_notes(project), None))
    yield tell("check", [taken(check) for _ in range(rounds)], target_s=CHECK_WITHIN_S)
    tell("check without notes", [taken(check_anew) for _ in range(rounds)])


def _generate(project: Project, catalog: Catalog) -> None:
    notes = _notes(project)
    write(project, _right(generate(project, catalog, notes=notes)), notes)


def _check(project: Project, catalog: Catalog, notes: Path | None) -> None:
    assert not drift(project, _right(generate(project, catalog, notes=notes)))


def _notes(project: Project) -> Path:
    return project.root.with_suffix(".notes.json")


def _right(generated: Generated) -> Generated:
    assert not generated.has_errors, generated.diagnostics
    return generated


if __name__ == "__main__":
    sys.exit(main())
