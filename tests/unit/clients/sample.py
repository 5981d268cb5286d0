"""A flow that has every type, as a plan, and its client made importable: `sample_api.flows.sample.v1`."""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml
from google import protobuf, rpc
from grpc_tools import protoc

from promptflow_codegen.emit.python_client import emit_clients
from promptflow_codegen.plan import FlowPlan, StepPlan
from promptflow_core.type_syntax import parse_fields
from promptflow_core.types import FieldType, ListType, ObjectType

ROOT = Path(__file__).resolve().parents[3]
PACKAGE = "sample_api.flows.sample.v1"

FIELDS = """
- {name: text, type: string, required: true, min_length: 1, description: 'What is said; "quoted" \\ and all'}
- {name: count, type: integer, required: true, min: 0}
- {name: small, type: int32, default: 7}
- {name: ratio, type: number, default: 0.5}
- {name: flag, type: boolean}
- {name: data, type: bytes}
- {name: page, type: file, description: "An image of a page: PNG or JPEG."}
- {name: moment, type: timestamp}
- {name: wait, type: duration}
- {name: anything, type: json}
- {name: color, type: enum, values: [red, dark_blue], default: red}
- {name: tags, type: "string[]"}
- {name: weights, type: map<number>}
- name: person
  type: object
  fields: &person
    - {name: name, type: string, required: true}
    - {name: age, type: int32}
    - {name: class, type: string}
- {name: people, type: "object[]", fields: *person}
- {name: by_name, type: map<object>, fields: *person}
- {name: colors, type: "enum[]", values: [red, dark_blue]}
- {name: pages, type: "file[]"}
- {name: notes, type: map<json>}
- {name: class, type: string}
- {name: timeout, type: number}
"""
WORDS = """
- {name: str, type: string, required: true}
- name: words
  type: object[]
  fields:
    - {name: text, type: string, required: true}
    - {name: left, type: int32}
"""


def sample_plan() -> FlowPlan:
    """The plan that codegen would lower from a flow with these inputs and steps."""
    fields = ObjectType(parse_fields(yaml.safe_load(FIELDS)))
    words = ObjectType(parse_fields(yaml.safe_load(WORDS)), name="Words", description="The words of a text.")
    steps = (
        StepPlan("echo", "combine", None, fields),
        StepPlan("each", "words", "ocr", words, needs=("echo",), for_each="{{ inputs.tags }}"),
        StepPlan("maybe", "combine", None, fields, condition="{{ inputs.flag }}"),
    )
    result = ObjectType((FieldType("echo", fields), FieldType("each", ListType(words)), FieldType("maybe", fields)))
    description = 'Gives back what it gets, "as it is".'
    return FlowPlan("sample", 1, PACKAGE, "SampleService", fields, steps, result, description=description)


@dataclass(frozen=True, slots=True)
class Sample:
    """The generated packages of the flow."""

    folder: Path
    client: ModuleType
    messages: Any
    index: ModuleType
    sync_flow: ModuleType
    sync: ModuleType


def import_sample(folder: Path) -> Sample:
    """Generate client and messages into `folder` and import them from there."""
    for path, text in emit_clients([sample_plan()]).items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, "utf-8")
    compile_protos(folder)
    sys.path.append(str(folder))
    return Sample(
        folder,
        importlib.import_module(f"{PACKAGE}.client"),
        importlib.import_module(f"{PACKAGE}.sample_pb2"),
        importlib.import_module("sample_api.client"),
        importlib.import_module(f"{PACKAGE}.sync"),
        importlib.import_module("sample_api.sync"),
    )


def compile_protos(folder: Path) -> None:
    """Messages of the sample and, where the tree has none yet, of the hand-written contract."""
    source = folder / PACKAGE.replace(".", "/") / "sample.proto"
    source.write_text((Path(__file__).parent / "sample.proto").read_text("utf-8"), "utf-8")
    wanted = [str(source)]
    if not (ROOT / "clients/python/promptflow_api/v1").exists():
        wanted += [str(path) for path in (ROOT / "proto/promptflow_api/v1").glob("*.proto")]
    includes = [folder, ROOT / "proto", *(Path(path).parents[1] for path in (protobuf.__path__[0], rpc.__path__[0]))]
    tools = Path(protoc.__file__).parent / "_proto"
    arguments = ["protoc", *(f"-I{path}" for path in (*includes, tools)), f"--python_out={folder}", *wanted]
    assert protoc.main(arguments) == 0
