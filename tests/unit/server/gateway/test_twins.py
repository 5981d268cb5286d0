from __future__ import annotations

from google.api import annotations_pb2  # type: ignore[import-untyped]
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet, MethodDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool

from promptflow_server.gateway import documents
from promptflow_server.gateway.twins import with_twins

ECHO = "promptflow_api.flows.echo.v1"
BODY = ".google.api.HttpBody"


def echo_methods(face_bytes: bytes) -> dict[str, MethodDescriptorProto]:
    files = FileDescriptorSet.FromString(face_bytes).file
    (echo,) = [file for file in files if file.name == "echo.proto"]
    return {method.name: method for method in echo.service[0].method}


def path_of(method: MethodDescriptorProto) -> str:
    rule = method.options.Extensions[annotations_pb2.http]
    path: str = rule.get or rule.post
    return path


def test_twins_take_over_the_paths_of_methods_with_inputs_and_of_streams(echo_descriptors: bytes) -> None:
    methods = echo_methods(with_twins(echo_descriptors).descriptors)
    paths = {name: path_of(method) for name, method in methods.items()}
    assert paths == {
        "Execute": "",
        "ExecuteStream": "",
        "Watch": "",
        "GetStatus": "/api/v1/echo/status/{execution_id}",
        "ExecuteHttp": "/api/v1/echo/execute",
        "ExecuteStreamHttp": "/api/v1/echo/execute/stream",
        "WatchHttp": "/api/v1/echo/watch/{execution_id}",
    }


def test_a_twin_streams_the_body_in_and_the_events_out(echo_descriptors: bytes) -> None:
    methods = echo_methods(with_twins(echo_descriptors).descriptors)
    shapes = {
        name: (method.client_streaming, method.input_type, method.server_streaming, method.output_type)
        for name, method in methods.items()
        if name.endswith("Http")
    }
    assert shapes == {
        "ExecuteHttp": (True, BODY, False, f".{ECHO}.Execution"),
        "ExecuteStreamHttp": (True, BODY, True, BODY),
        "WatchHttp": (False, f".{ECHO}.WatchRequest", True, BODY),
    }


def test_only_services_with_http_paths_are_named_and_that_of_the_documents(echo_descriptors: bytes) -> None:
    assert with_twins(echo_descriptors).services == (f"{ECHO}.EchoService", documents.SERVICE)


def test_files_are_in_dependency_order_whatever_the_order_given(echo_descriptors: bytes) -> None:
    files = list(FileDescriptorSet.FromString(echo_descriptors).file)
    backwards = FileDescriptorSet(file=reversed(files)).SerializeToString()
    seen: set[str] = set()
    for file in FileDescriptorSet.FromString(with_twins(backwards).descriptors).file:
        assert set(file.dependency) <= seen, file.name
        seen.add(file.name)


def test_the_types_of_error_bodies_and_of_raw_bodies_are_there(echo_descriptors: bytes) -> None:
    names = {file.name for file in FileDescriptorSet.FromString(with_twins(echo_descriptors).descriptors).file}
    needed = {"google/rpc/status.proto", "google/rpc/error_details.proto", "google/api/httpbody.proto"}
    assert needed <= names


def test_the_set_is_whole_and_the_one_given_is_left_alone(echo_descriptors: bytes) -> None:
    pool = DescriptorPool()
    for file in FileDescriptorSet.FromString(with_twins(echo_descriptors).descriptors).file:
        pool.Add(file)
    twin = pool.FindMethodByName(f"{ECHO}.EchoService.ExecuteHttp")
    assert twin.input_type.full_name == "google.api.HttpBody"
    assert "ExecuteHttp" not in echo_methods(echo_descriptors)


def test_equal_sets_give_equal_bytes_without_source_positions(echo_descriptors: bytes) -> None:
    with_positions = FileDescriptorSet.FromString(echo_descriptors)
    for file in with_positions.file:
        file.source_code_info.location.add(leading_comments="a comment")
    assert with_twins(with_positions.SerializeToString()) == with_twins(echo_descriptors)


def test_a_set_without_services_has_documents_alone() -> None:
    lone = FileDescriptorSet(file=[FileDescriptorProto(name="lone.proto", syntax="proto3")])
    assert with_twins(lone.SerializeToString()).services == (documents.SERVICE,)
