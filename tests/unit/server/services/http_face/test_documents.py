from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.protobuf.json_format import MessageToJson
from hypothesis import given, settings
from tests.unit.server.services.test_codec import INPUTS

from promptflow_core.errors import FlowError
from promptflow_core.values import FileRef, NativeValue
from promptflow_server.services.codec import RemoteFile, Upload, encode_message
from promptflow_server.services.contracts import FlowContract
from promptflow_server.services.http_face.documents import DocumentReader
from promptflow_server.services.submission import check


@pytest.fixture(scope="session")
def reader(contract: FlowContract) -> DocumentReader:
    return DocumentReader(contract)


READ: list[tuple[dict[str, Any], dict[str, NativeValue]]] = [
    ({}, {}),
    ({"text": "a"}, {"text": "a"}),
    ({"text": None, "tags": None, "author": None}, {}),
    ({"extra": None}, {"extra": None}),
    ({"count": 5}, {"count": 5}),
    ({"count": "5"}, {"count": 5}),
    ({"count": 5.0}, {"count": 5}),
    ({"count": "-9223372036854775808"}, {"count": -(2**63)}),
    ({"ratio": 1}, {"ratio": 1.0}),
    ({"speed": "FAST"}, {"speed": "fast"}),
    ({"speed": "slow"}, {"speed": "Slow"}),
    ({"speeds": ["SLOW", "fast"]}, {"speeds": ["Slow", "fast"]}),
    ({"data": "AP8="}, {"data": b"\x00\xff"}),
    ({"data": "_-8"}, {"data": b"\xff\xef"}),
    ({"data": "/+8="}, {"data": b"\xff\xef"}),
    ({"at": "2031-01-31T12:00:00Z"}, {"at": datetime(2031, 1, 31, 12, tzinfo=UTC)}),
    ({"at": "2031-01-31T12:00:00.123456789+00:00"}, {"at": datetime(2031, 1, 31, 12, 0, 0, 123456, tzinfo=UTC)}),
    ({"wait": "1.5s"}, {"wait": timedelta(seconds=1.5)}),
    ({"wait": "2m"}, {"wait": timedelta(minutes=2)}),
    ({"extra": {"a": [1, None]}}, {"extra": {"a": [1, None]}}),
    ({"extra": [2**64, {"a": 1.0}]}, {"extra": [2.0**64, {"a": 1}]}),
    ({"former": 1, "author": {"name": "Ada", "nickname": "A"}}, {"author": {"name": "Ada"}}),
    ({"reviewers": [{"nickname": 1}]}, {"reviewers": [{}]}),
    ({"people": {"nickname": {"nickname": "A", "age": 1}}}, {"people": {"nickname": {"age": 1}}}),
    ({"weights": {"x": 1}}, {"weights": {"x": 1.0}}),
    ({"author": {"name": "Ada", "age": None}}, {"author": {"name": "Ada"}}),
    ({"people": {"a": {"age": 1}}}, {"people": {"a": {"age": 1}}}),
    ({"document": {"content": "eA==", "name": "x.txt"}}, {"document": Upload(b"x", "", "x.txt")}),
    ({"document": {}}, {"document": Upload(b"")}),
    ({"document": {"file_id": "a/b"}}, {"document": FileRef("a/b")}),
    ({"document": {"uri": "s3://a", "content_type": "b/c"}}, {"document": RemoteFile("s3://a", "b/c")}),
    ({"copy": "a name that a model would not take"}, {"copy": "a name that a model would not take"}),
]


@pytest.mark.parametrize(("document", "expected"), READ)
def test_a_document_is_read(
    reader: DocumentReader, contract: FlowContract, document: dict[str, Any], expected: dict[str, NativeValue]
) -> None:
    submission = reader.read(document)
    assert (submission.violations, submission.given) == ((), expected)
    message = contract.execute_request()
    encode_message(expected, message)
    assert submission.request == message


MISTAKES: list[tuple[dict[str, Any], str, str]] = [
    ({"text": 5}, "text", "must be text, not a number"),
    ({"text": ["a"]}, "text", "must be text, not a list"),
    ({"txt": "a"}, "txt", "`everything` v1 has no such input; did you mean `text`?"),
    ({"TEXT": "a"}, "TEXT", "`everything` v1 has no such input; did you mean `text`?"),
    ({"zzz": "a"}, "zzz", "`everything` v1 has no such input"),
    ({"count": "5.5"}, "count", "must be a whole number, not text"),
    ({"count": 5.5}, "count", "must be a whole number, not a number"),
    ({"count": True}, "count", "must be a whole number, not a boolean"),
    ({"count": 2**63}, "count", "must lie between -9223372036854775808 and 9223372036854775807"),
    ({"small": 2**31}, "small", "must lie between -2147483648 and 2147483647"),
    ({"ratio": "1"}, "ratio", "must be a number, not text"),
    ({"ratio": 10**400}, "ratio", "must be a number that a double holds"),
    ({"flag": "true"}, "flag", "must be true or false, not text"),
    ({"flag": 1}, "flag", "must be true or false, not a number"),
    ({"speed": "fsat"}, "speed", "must be one of fast, Slow; did you mean `fast`?"),
    ({"speed": 1}, "speed", "must be one of fast, Slow"),
    ({"speed": "VALUE_UNSPECIFIED"}, "speed", "must be one of fast, Slow"),
    ({"data": "a"}, "data", "is no base64"),
    ({"data": "é==="}, "data", "is no base64"),
    ({"at": "tomorrow"}, "at", "must be a timestamp such as `2031-01-31T12:00:00Z`"),
    ({"at": 5}, "at", "must be a timestamp such as `2031-01-31T12:00:00Z`"),
    ({"wait": "soon"}, "wait", "must be a duration such as `1.5s`"),
    ({"wait": "9" * 300 + "d"}, "wait", "must be a duration such as `1.5s`"),
    ({"tags": "a"}, "tags", "must be a list, not text"),
    ({"tags": ["a", 1]}, "tags[1]", "must be text, not a number"),
    ({"tags": [None]}, "tags[0]", "must be text, not null"),
    ({"weights": [1]}, "weights", "must be an object, not a list"),
    ({"weights": {"x": "1"}}, "weights[x]", "must be a number, not text"),
    ({"author": "Ada"}, "author", "must be an object, not text"),
    ({"extra": {"a": [10**400]}}, "extra.a[0]", "must be a number that a double holds"),
    ({"nickname": "A"}, "nickname", "`everything` v1 has no such input"),
    ({"author": {"former": "A"}}, "author.former", "there is no such field"),
    ({"author": {"nmae": "Ada"}}, "author.nmae", "there is no such field; did you mean `name`?"),
    ({"reviewers": [{}, {"age": "x"}]}, "reviewers[1].age", "must be a whole number, not text"),
    ({"people": {"a b": {"age": "x"}}}, "people[a b].age", "must be a whole number, not text"),
    ({"document": {"content": "x", "uri": "y"}}, "document", "has both `content` and `uri`; give one"),
    ({"document": {"file": "x"}}, "document", "a file has no `file`; did you mean `file_id`?"),
    ({"execution_mode": "FAST"}, "execution_mode", "must be one of ASYNC, SYNC"),
    ({"options": {"timeout": "soon"}}, "options.timeout", "must be a duration such as `1.5s`"),
    ({"options": {"request": "x"}}, "options.request", "there is no such field; did you mean `request_id`?"),
    ({"options": []}, "options", "must be an object, not a list"),
    ({"extra": {"a": [[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]}}, "extra.a" + "[0]" * 24, "nests deeper"),
]


@pytest.mark.parametrize(("document", "field", "told"), MISTAKES)
def test_a_mistake_is_told_in_terms_of_the_inputs(
    reader: DocumentReader, document: dict[str, Any], field: str, told: str
) -> None:
    (violation,) = reader.read(document).violations
    assert violation.field == field
    assert violation.description.startswith(told)


def test_every_mistake_is_told_and_what_is_right_is_kept(reader: DocumentReader) -> None:
    submission = reader.read(
        {"text": "ok", "count": "x", "tags": ["a", 1, 2], "author": {"name": "Ada", "age": "x", "z": 1}, "zz": {"a": 1}}
    )
    assert [violation.field for violation in submission.violations] == [
        "count",
        "tags[1]",
        "tags[2]",
        "author.age",
        "author.z",
        "zz",
    ]
    stand_in = ""
    assert submission.given == {"text": "ok", "tags": ["a", stand_in, stand_in], "author": {"name": "Ada"}}


def test_mode_and_options_reach_the_message(reader: DocumentReader) -> None:
    options = {"request_id": "r", "labels": {"a": "b"}, "read_mask": "status, result.inspect", "timeout": "2m"}
    submission = reader.read({"execution_mode": "sync", "options": options})
    assert submission.given == {}
    assert submission.request.execution_mode == 2
    assert submission.request.options.request_id == "r"
    assert dict(submission.request.options.labels) == {"a": "b"}
    assert list(submission.request.options.read_mask.paths) == ["status", "result.inspect"]
    assert submission.request.options.timeout.ToSeconds() == 120


def test_thousands_of_mistakes_are_answered_with_a_bounded_list(reader: DocumentReader) -> None:
    assert len(reader.read({"tags": list(range(50_000))}).violations) == 100


@settings(max_examples=50)
@given(values=INPUTS.filter(lambda values: "ratio" not in values and "weights" not in values and "wait" not in values))
def test_what_protobuf_prints_as_json_is_read_back(
    reader: DocumentReader, contract: FlowContract, values: dict[str, NativeValue]
) -> None:
    message = contract.execute_request()
    encode_message(values, message)
    printed = json.loads(MessageToJson(message, preserving_proto_field_name=True))
    submission = reader.read(printed)
    assert submission.violations == ()
    assert submission.request == message


def test_base64_of_a_large_file_is_read_whole(reader: DocumentReader) -> None:
    content = bytes(range(256)) * 4096
    submission = reader.read({"document": {"content": base64.b64encode(content).decode()}})
    assert submission.given == {"document": Upload(content)}


def test_a_mistake_hides_no_other_whose_name_begins_alike(reader: DocumentReader, contract: FlowContract) -> None:
    submission = reader.read({"text2": 1})
    with pytest.raises(FlowError) as caught:
        check(submission, contract, 1)
    assert [violation.field for violation in caught.value.record.violations] == ["text2", "text"]
