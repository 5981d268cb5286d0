"""The stages of generation on one text, for tests that look at what lies between them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from tests.unit.codegen.root import ROOT

from promptflow_codegen.build import build_api
from promptflow_codegen.check import check_flow
from promptflow_codegen.checked import CheckedFlow
from promptflow_codegen.compile import compile_descriptors
from promptflow_codegen.diagnostics import Report
from promptflow_codegen.emit.proto import emit_proto
from promptflow_codegen.lock import Lock
from promptflow_codegen.lower import lower_flow
from promptflow_codegen.model import ProtoFile
from promptflow_codegen.numbering import number_file
from promptflow_codegen.project import Project
from promptflow_codegen.read import read_flow
from promptflow_codegen.source import parse_source
from promptflow_core.executor import Catalog


class _Quoted(yaml.SafeDumper):
    """Writes every text in quotes: YAML 1.1, which this dumper writes, and 1.2 differ in what is a number."""


_Quoted.add_representer(str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"'))


def flow_text(flow: Mapping[str, Any]) -> str:
    """A flow as a file."""
    return yaml.dump(dict(flow), Dumper=_Quoted, sort_keys=False, allow_unicode=True)


def check(text: str, catalog: Catalog) -> CheckedFlow:
    """The flow that `text` stands for; it has no errors."""
    report = Report("flows/flow.yaml")
    root = parse_source(text.encode(), report)
    node = read_flow(report.file, root, report) if root is not None else None
    flow = check_flow(node, catalog, report) if node is not None else None
    assert flow is not None, report.diagnostics
    return flow


def number(flow: CheckedFlow, lock: Lock | None = None) -> tuple[ProtoFile, Lock]:
    """The flow's API, numbered; nothing in it breaks what `lock` remembers."""
    report = Report("flows/flow.yaml")
    numbered = number_file(build_api(flow, lower_flow(flow)), lock or Lock(flow.name, flow.version), report)
    assert not report.has_errors, report.diagnostics
    return numbered


def compile_flow(text: str, catalog: Catalog) -> FileDescriptorSet:
    """The descriptors of one flow."""
    file, _ = number(check(text, catalog))
    return compile_descriptors({**Project.at(ROOT).contract_protos(), file.path: emit_proto(file)})


def message_class(files: FileDescriptorSet, name: str) -> Any:
    """A message class from a pool of its own."""
    pool = DescriptorPool()
    for file in files.file:
        pool.AddSerializedFile(file.SerializeToString())
    return GetMessageClass(pool.FindMessageTypeByName(name))
