"""A flow with inputs of every type, as a bundle made without the generator."""

from __future__ import annotations

import tempfile
from pathlib import Path

import protovalidate
from google.api import annotations_pb2  # type: ignore[import-untyped]
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from grpc_tools import protoc
from protovalidate._gen.buf.validate import validate_pb

from promptflow_codegen.bundle import Bundle
from promptflow_codegen.plan import FlowPlan, StepPlan
from promptflow_core.types import SCALARS, Constraints, EnumType, FieldType, ListType, MapType, ObjectType

HERE = Path(__file__).parent
ROOT = HERE.parents[3]
PACKAGE = "promptflow_api.flows.everything.v1"
MAX_PAGE_BYTES = 64

_AUTHOR = ObjectType(
    (FieldType("name", SCALARS["string"], required=True), FieldType("age", SCALARS["integer"])), name="Author"
)
_SPEED = EnumType(("fast", "Slow"))
_INSPECT = ObjectType(
    (
        FieldType("text", SCALARS["string"]),
        FieldType("count", SCALARS["integer"]),
        FieldType("ratio", SCALARS["number"]),
        FieldType("extra", SCALARS["json"]),
        FieldType("document", SCALARS["file"]),
    ),
    name="InspectOutput",
)
_LABEL = ObjectType((FieldType("label", SCALARS["string"]),), name="LabelOutput")

PLAN = FlowPlan(
    name="everything",
    version=1,
    package=PACKAGE,
    service="EverythingService",
    inputs=ObjectType(
        (
            FieldType("text", SCALARS["string"], required=True),
            FieldType("count", SCALARS["integer"], default=7),
            FieldType("small", SCALARS["int32"]),
            FieldType("ratio", SCALARS["number"], default=0),
            FieldType("flag", SCALARS["boolean"]),
            FieldType("data", SCALARS["bytes"]),
            FieldType("document", SCALARS["file"]),
            FieldType("speed", _SPEED),
            FieldType("at", SCALARS["timestamp"]),
            FieldType("wait", SCALARS["duration"], default="90s"),
            FieldType("extra", SCALARS["json"]),
            FieldType("tags", ListType(SCALARS["string"])),
            FieldType("weights", MapType(SCALARS["number"])),
            FieldType("author", _AUTHOR),
            FieldType("reviewers", ListType(_AUTHOR)),
            FieldType("pages", ListType(SCALARS["file"]), constraints=Constraints(max_bytes=MAX_PAGE_BYTES)),
            FieldType("speeds", ListType(_SPEED)),
            FieldType("people", MapType(_AUTHOR)),
            FieldType("copy", SCALARS["string"]),
        )
    ),
    steps=(
        StepPlan("inspect", "inspector", "general", _INSPECT),
        StepPlan("label", "labeller", "sentiment", _LABEL, needs=("inspect",), for_each="{{ inputs.tags }}"),
    ),
    result=ObjectType((FieldType("inspect", _INSPECT), FieldType("label", ListType(_LABEL)))),
)


def compile_everything() -> Bundle:
    """The bundle: everything.proto and its imports, in the order that protoc gives them."""
    with tempfile.TemporaryDirectory() as folder:
        target, validate = Path(folder, "out.pb"), Path(folder, "validate.pb")
        validate.write_bytes(_validate_proto().SerializeToString())
        arguments = [
            "protoc",
            f"-I{HERE}",
            f"-I{ROOT / 'proto'}",
            f"-I{Path(annotations_pb2.__file__).parents[2]}",
            f"-I{Path(protoc.__file__).parent / '_proto'}",
            f"--descriptor_set_in={validate}",
            "--include_imports",
            f"--descriptor_set_out={target}",
        ]
        contract = sorted(path.relative_to(ROOT / "proto").as_posix() for path in (ROOT / "proto").glob("*/v1/*.proto"))
        inputs = ["google/rpc/error_details.proto", *contract, "everything.proto"]
        assert protoc.main([*arguments, *inputs]) == 0
        return Bundle.of(target.read_bytes(), (PLAN,))


def _validate_proto() -> FileDescriptorSet:
    # No package ships buf/validate/validate.proto; the descriptor inside protovalidate is the same file.
    assert protovalidate
    return FileDescriptorSet(file=[FileDescriptorProto.FromString(validate_pb.desc().proto.to_binary())])
