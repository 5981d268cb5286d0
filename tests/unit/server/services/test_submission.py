from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.server.services.everything import MAX_PAGE_BYTES, PLAN
from tests.unit.server.services.test_codec import INPUTS, JSON

from promptflow_codegen.plan import FlowPlan
from promptflow_core.errors import Code, FlowError
from promptflow_core.types import SCALARS, Constraints, FieldType, ObjectType
from promptflow_core.values import FileRef, NativeValue
from promptflow_server.services.codec import RemoteFile, Upload, encode_message
from promptflow_server.services.contracts import FlowContract
from promptflow_server.services.http_face.documents import DocumentReader
from promptflow_server.services.submission import Order, check, file_limit, files_in, is_under, read_submission

MAX_FILE_BYTES = 100
NAMES = st.sampled_from([*(field.name for field in PLAN.inputs.fields), "options", "execution_mode", "txet"])


def admitted(contract: FlowContract, data: bytes) -> Order | FlowError:
    try:
        return check(read_submission(contract, data), contract, MAX_FILE_BYTES)
    except FlowError as error:
        return error


@settings(max_examples=300)
@given(values=INPUTS, cut=st.integers(0, 80), noise=st.binary(max_size=6))
def test_whatever_bytes_come_are_an_order_or_an_invalid_argument(
    contract: FlowContract, values: dict[str, NativeValue], cut: int, noise: bytes
) -> None:
    request = contract.execute_request()
    encode_message(values, request)
    wire = request.SerializeToString()
    outcome = admitted(contract, wire[:cut] + noise + wire[cut:])
    assert isinstance(outcome, Order) or outcome.record.code is Code.INVALID_ARGUMENT


@settings(max_examples=300)
@given(document=st.dictionaries(NAMES, JSON, max_size=6))
def test_whatever_document_comes_is_an_order_or_an_invalid_argument(
    contract: FlowContract, document: dict[str, Any]
) -> None:
    submission = DocumentReader(contract).read(document)
    try:
        check(submission, contract, MAX_FILE_BYTES)
    except FlowError as error:
        assert error.record.code is Code.INVALID_ARGUMENT
    else:
        assert submission.violations == ()


def test_files_are_found_wherever_they_are() -> None:
    upload, stored, remote = Upload(b"x"), FileRef("a/b"), RemoteFile("http://a")
    value = {"document": upload, "pages": [stored, {"deep": remote}], "text": "x", "extra": [1, None]}
    assert list(files_in(value)) == [("document", upload), ("pages[0]", stored), ("pages[1].deep", remote)]


def test_the_lower_limit_of_server_and_flow_holds() -> None:
    generous = ObjectType((FieldType("page", SCALARS["file"], constraints=Constraints(max_bytes=1000)),))
    plan = FlowPlan("f", 1, "", "", generous, (), ObjectType(()))
    assert [file_limit(PLAN, "pages", 100), file_limit(PLAN, "document", 100), file_limit(PLAN, "no", 100)] == [
        MAX_PAGE_BYTES,
        100,
        100,
    ]
    assert file_limit(plan, "page", 100) == 100


def test_nothing_lies_under_the_empty_execution() -> None:
    assert is_under("a", FileRef("a/b"))
    assert not is_under("a", FileRef("ab/b"))
    assert not is_under("", FileRef("/b"))
