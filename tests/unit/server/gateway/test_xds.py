from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from promptflow_codegen.generate import generate
from promptflow_codegen.project import Project
from promptflow_core.registry import ExecutorRegistry
from promptflow_server.gateway import documents
from promptflow_server.gateway.envoy import GatewayError
from promptflow_server.gateway.twins import EdgeContract, with_twins
from promptflow_server.gateway.xds import KEPT_DESCRIPTORS, write_transcoder

ROOT = Path(__file__).parents[4]


@pytest.fixture(scope="module")
def contract(echo_descriptors: bytes) -> EdgeContract:
    return with_twins(echo_descriptors)


def other(contract: EdgeContract, number: int) -> EdgeContract:
    files = FileDescriptorSet.FromString(contract.descriptors)
    files.file.add(name=f"other{number}.proto", syntax="proto3")
    return replace(contract, descriptors=files.SerializeToString())


def transcoder(folder: Path) -> dict[str, Any]:
    document = json.loads((folder / "transcoder.json").read_bytes())
    (resource,) = document["resources"]
    assert resource["name"] == "transcoder"
    config: dict[str, Any] = resource["typed_config"]
    return config


def test_the_configuration_names_the_descriptors_by_content(contract: EdgeContract, tmp_path: Path) -> None:
    written = write_transcoder(contract, tmp_path)
    config = transcoder(tmp_path)
    assert (config["proto_descriptor"], config["services"]) == (str(written), list(contract.services))
    assert written.read_bytes() == contract.descriptors
    assert write_transcoder(other(contract, 1), tmp_path) != written


def test_json_keeps_field_names_and_prints_zeros(contract: EdgeContract, tmp_path: Path) -> None:
    write_transcoder(contract, tmp_path)
    assert transcoder(tmp_path)["print_options"] == {
        "preserve_proto_field_names": True,
        "always_print_primitive_fields": True,
    }


def backwards(descriptors: bytes) -> bytes:
    return FileDescriptorSet(file=reversed(FileDescriptorSet.FromString(descriptors).file)).SerializeToString()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda contract: replace(contract, descriptors=b"not a descriptor set"),
        lambda contract: replace(contract, descriptors=backwards(contract.descriptors)),
        lambda contract: replace(contract, services=("promptflow_api.flows.absent.v1.AbsentService",)),
    ],
    ids=["broken descriptors", "files in the wrong order", "unknown service"],
)
def test_what_envoy_would_refuse_changes_nothing(
    contract: EdgeContract, tmp_path: Path, spoil: Callable[[EdgeContract], EdgeContract]
) -> None:
    write_transcoder(contract, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(GatewayError, match="Envoy refuses"):
        write_transcoder(spoil(contract), tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_the_configuration_is_replaced_never_written_in_place(contract: EdgeContract, tmp_path: Path) -> None:
    write_transcoder(contract, tmp_path)
    path = tmp_path / "transcoder.json"
    with path.open("rb") as held:
        write_transcoder(other(contract, 1), tmp_path)
        assert json.loads(held.read())["resources"][0]["typed_config"] != transcoder(tmp_path)


def test_writing_the_same_again_leaves_one_descriptor_file(contract: EdgeContract, tmp_path: Path) -> None:
    write_transcoder(contract, tmp_path)
    write_transcoder(contract, tmp_path)
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".json", ".pb"]


def test_the_last_few_descriptors_stay_the_one_in_use_among_them(contract: EdgeContract, tmp_path: Path) -> None:
    written = [write_transcoder(other(contract, number), tmp_path) for number in range(KEPT_DESCRIPTORS + 1)]
    written.append(write_transcoder(other(contract, 1), tmp_path))
    assert set(tmp_path.glob("flows-*.pb")) == set(written[1:])


def test_envoy_takes_the_face_of_every_flow_that_is_shipped(tmp_path: Path) -> None:
    bundle = generate(Project.at(ROOT), ExecutorRegistry.load().catalog()).bundle
    assert bundle is not None
    shipped = with_twins(bundle.descriptors)
    write_transcoder(shipped, tmp_path)
    flows = {f"{plan.package}.{plan.service}" for plan in bundle.plans}
    control = {"promptflow_api.v1.ExecutionService", "promptflow_api.v1.FlowService"}
    assert set(shipped.services) == flows | control | {documents.SERVICE}
