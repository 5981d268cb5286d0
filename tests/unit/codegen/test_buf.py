"""buf on what is generated: STANDARD lint but for the exceptions in `buf.yaml`, and WIRE_JSON beside the lock."""

from __future__ import annotations

import subprocess
import sysconfig
from collections.abc import Collection
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from tests.unit.codegen.pipeline import check, number
from tests.unit.codegen.root import ROOT

from promptflow_codegen.build import build_api
from promptflow_codegen.compile import compile_descriptors
from promptflow_codegen.diagnostics import Report
from promptflow_codegen.emit.proto import emit_proto
from promptflow_codegen.lower import lower_flow
from promptflow_codegen.numbering import number_file
from promptflow_core.executor import Catalog

IS_IMPORT = b"\x02\x08\x01"
"""buf's own field of a file in an image (8042, a message) that says: part of the image, not of the module."""

EACH = """\
  - {name: each, executor: sentiment_analyzer, for_each: "{{ inputs.text | sentences }}", config: {text: "{{ item }}"}}
"""
EVERYTHING = """
name: everything
description: Has all that a flow can have.
inputs:
  - {name: text, type: string, required: true, pattern: "^x"}
  - {name: mood, type: enum, values: [good, bad]}
  - {name: person, type: object, fields: [{name: name, type: string}]}
  - {name: extra, type: json}
  - {name: wait, type: duration}
  - {name: page, type: file, required: true}
steps:
  - {name: ocr, executor: ocr, config: {document: "{{ inputs.page }}"}}
%s  - {name: route, executor: decision_maker, config: {rules: [{when: "{{ true }}", path: a}], default: b}}
outputs:
  words: "{{ steps.ocr.words }}"
  path: "{{ steps.route.path }}"
""".replace("%s", EACH)


def run_buf(*arguments: str) -> tuple[int, str]:
    buf = Path(sysconfig.get_path("scripts")) / "buf"
    run = subprocess.run([buf, *arguments], capture_output=True, text=True, cwd=ROOT, check=False, timeout=30)
    return run.returncode, run.stdout + run.stderr


def image(files: FileDescriptorSet, own: Collection[str]) -> bytes:
    """The files as buf takes them without its registry; imports are marked, so that they are not linted."""
    data = b""
    for file in files.file:
        body = file.SerializeToString()
        if file.name not in own:
            body += _varint(8042 << 3 | 2) + IS_IMPORT
        data += b"\x0a" + _varint(len(body)) + body
    return data


def _varint(number: int) -> bytes:
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + _varint(rest) if rest else bytes([low])


def tree_sources() -> dict[str, str]:
    folder = ROOT / "proto"
    return {path.relative_to(folder).as_posix(): path.read_text("utf-8") for path in folder.rglob("*.proto")}


def sources_with(text: str, catalog: Catalog) -> dict[str, str]:
    file, _ = number(check(text, catalog))
    return {**tree_sources(), file.path: emit_proto(file)}


@pytest.fixture(scope="module")
def everything(catalog: Catalog, tmp_path_factory: pytest.TempPathFactory) -> Path:
    sources = sources_with(EVERYTHING, catalog)
    path = tmp_path_factory.mktemp("buf") / "image.binpb"
    path.write_bytes(image(compile_descriptors(sources), sources))
    return path


def test_buf_builds_all_protos(everything: Path) -> None:
    assert run_buf("build", str(everything), "-o", "/dev/null") == (0, "")


def test_buf_lint_passes_on_all_protos(everything: Path) -> None:
    assert run_buf("lint", str(everything), "--config", "buf.yaml") == (0, "")


def test_buf_lint_would_find_something(catalog: Catalog, tmp_path: Path) -> None:
    sources = {"bad.proto": 'syntax = "proto3"; package bad; message lower {}'}
    path = tmp_path / "image.binpb"
    path.write_bytes(image(compile_descriptors(sources), sources))
    status, text = run_buf("lint", str(path), "--config", "buf.yaml")
    assert status != 0
    assert "PascalCase" in text


EDITS: dict[str, tuple[str, str, bool, bool]] = {
    "an optional input more": ("  - {name: extra", "  - {name: more, type: integer}\n  - {name: extra", False, False),
    "an input less": ("  - {name: wait, type: duration}\n", "", False, False),
    "an enum value more": ("[good, bad]", "[good, bad, ugly]", False, False),
    "an enum value less": ("[good, bad]", "[good]", True, False),
    "another type of input": ("type: duration", "type: timestamp", True, True),
    "another type inside an input": ("{name: name, type: string}", "{name: name, type: integer}", True, True),
    "a result field less": ('  path: "{{ steps.route.path }}"\n', "", True, False),
    "an optional input that becomes required": ("type: duration", "type: duration, required: true", True, False),
    "a narrower constraint": ('pattern: "^x"', 'pattern: "^xx"', True, False),
    "another path of a decision, seen in the result": ("default: b", "default: c", True, False),
    "a step less": (EACH, "", False, False),
    "another executor of a step": (
        EACH,
        EACH.replace("sentiment_analyzer", "transform").replace("text:", "value:"),
        False,
        True,
    ),
}
"""Old and new text, whether the lock refuses the edit, whether buf does.

They differ by design. buf takes a field or value for gone in good order where its name is reserved; the lock keeps
everything that a result promises, and knows `required` and constraints. buf in turn knows no view: a step that answers
something else takes a new number there and keeps its name.
"""


@pytest.mark.parametrize("name", EDITS)
def test_buf_and_the_lock_differ_only_where_they_are_meant_to(
    name: str, catalog: Catalog, tmp_path: Path, everything: Path
) -> None:
    old, new, lock_refuses, buf_refuses = EDITS[name]
    assert old in EVERYTHING
    _, lock = number(check(EVERYTHING, catalog))
    report = Report("flows/flow.yaml")
    flow = check(EVERYTHING.replace(old, new, 1), catalog)
    file, _ = number_file(build_api(flow, lower_flow(flow)), lock, report)
    sources = {**tree_sources(), file.path: emit_proto(file)}
    path = tmp_path / "image.binpb"
    path.write_bytes(image(compile_descriptors(sources), sources))
    status, text = run_buf("breaking", str(path), "--against", str(everything), "--config", "buf.yaml")
    assert (report.has_errors, status != 0) == (lock_refuses, buf_refuses), text
