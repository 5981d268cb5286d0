"""Python values there and back: every type of the flow language through the messages of the sample flow."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from tests.unit.clients.sample import Sample

from promptflow_client import File, InvalidArgumentError
from promptflow_client.decoding import Decoder
from promptflow_client.encoding import encode_inputs

MOMENT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
NESTED: Any = {"a": [1, 2.5, "x", None, True, {"b": []}], "c": {}}


async def request_of(sample: Sample, **inputs: Any) -> Any:
    """The request that carries these inputs."""
    request = sample.messages.ExecuteRequest()
    await encode_inputs(inputs, request)
    return request


async def round_trip(sample: Sample, **inputs: Any) -> Any:
    """Inputs encoded, then read as the output of step `echo`, which has the same fields under the same numbers."""
    data = (await request_of(sample, **inputs)).SerializeToString()
    output = sample.messages.EchoOutput.FromString(data)
    return Decoder().decode(output, sample.client.EchoOutput)


VALUES: dict[str, tuple[str, Any, Any]] = {
    "string": ("text", "héllo", "héllo"),
    "empty string": ("text", "", ""),
    "integer": ("count", 2**63 - 1, 2**63 - 1),
    "integer zero": ("count", 0, 0),
    "int32": ("small", -(2**31), -(2**31)),
    "number": ("ratio", 0.1, 0.1),
    "number from int": ("ratio", 3, 3.0),
    "boolean false": ("flag", False, False),
    "bytes": ("data", b"\x00\xff", b"\x00\xff"),
    "bytearray": ("data", bytearray(b"ab"), b"ab"),
    "empty bytes": ("data", b"", b""),
    "timestamp": ("moment", MOMENT, MOMENT),
    "timestamp elsewhere": ("moment", MOMENT.astimezone(timezone(timedelta(hours=5))), MOMENT),
    "timestamp before 1970": ("moment", datetime(1901, 1, 1, tzinfo=UTC), datetime(1901, 1, 1, tzinfo=UTC)),
    "duration": ("wait", timedelta(milliseconds=-1500), timedelta(milliseconds=-1500)),
    "json": ("anything", NESTED, NESTED),
    "json text": ("anything", "x", "x"),
    "json whole number": ("anything", 2**53, 2**53),
    "json tuple": ("anything", (1, 2), [1, 2]),
    "enum": ("color", "dark_blue", "dark_blue"),
    "list": ("tags", ["a", ""], ("a", "")),
    "list from tuple": ("tags", ("a",), ("a",)),
    "enum list": ("colors", ["dark_blue", "red"], ("dark_blue", "red")),
    "map": ("weights", {"a": 1, "": 0.5}, {"a": 1.0, "": 0.5}),
    "json map": ("notes", {"a": [1], "b": None}, {"a": [1], "b": None}),
    "keyword": ("class", "x", "x"),
    "file by address": ("page", File(uri="s3://b/k.png"), File(uri="s3://b/k.png")),
    "file by id": (
        "page",
        File(file_id="r/1", name="a.png"),
        File(file_id="r/1", content_type="image/png", name="a.png"),
    ),
    "file bytes": ("page", b"png", File(content=b"png")),
    "file list": ("pages", [b"1", File(uri="u")], (File(content=b"1"), File(uri="u"))),
}


@pytest.mark.parametrize(("name", "given", "expected"), VALUES.values(), ids=VALUES.keys())
async def test_a_value_comes_back_as_it_went(sample: Sample, name: str, given: Any, expected: Any) -> None:
    output = await round_trip(sample, **{name: given})
    found = getattr(output, f"{name}_" if name == "class" else name)
    assert found == expected
    assert type(found) is type(expected)


async def test_objects_are_dataclasses_or_mappings(sample: Sample) -> None:
    person = sample.client.InputPerson(name="Ada", age=36, class_="first")
    output = await round_trip(sample, person=person, people=[{"name": "Bob"}, person], by_name={"a": person})
    client = sample.client
    assert output.person == client.EchoOutputPerson(name="Ada", age=36, class_="first")
    bob, ada = client.EchoOutputPeople(name="Bob"), client.EchoOutputPeople(name="Ada", age=36, class_="first")
    assert output.people == (bob, ada)
    assert output.by_name == {"a": client.EchoOutputByName(name="Ada", age=36, class_="first")}


async def test_what_is_absent_stays_absent(sample: Sample) -> None:
    request = await request_of(sample, **dict.fromkeys(("text", "page", "anything", "tags", "person", "color")))
    assert request.ByteSize() == 0
    output = await round_trip(sample, text="hi")
    present = {"text": "hi", "count": 0, "tags": (), "weights": {}, "people": (), "by_name": {}}
    found = {name: getattr(output, name) for name in present}
    assert found == present
    absent = ["small", "ratio", "flag", "data", "page", "moment", "wait", "anything", "color", "person", "class_"]
    assert [getattr(output, name) for name in absent] == [None] * len(absent)


MISFITS: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "a number for a text": ({"text": 5}, {"text": "5 is no str"}),
    "a text for a number": ({"count": "5"}, {"count": "'5' is no int"}),
    "a fraction for an integer": ({"count": 1.5}, {"count": "1.5 is no int"}),
    "a boolean for an integer": ({"count": True}, {"count": "True is no int"}),
    "a number for a boolean": ({"flag": 1}, {"flag": "1 is no bool"}),
    "a text for bytes": ({"data": "x"}, {"data": "'x' is no bytes"}),
    "beyond 64 bits": ({"count": 2**63}, {"count": f"{2**63} is out of range"}),
    "beyond 32 bits": ({"small": 2**31}, {"small": f"{2**31} is out of range"}),
    "no such value": ({"color": "RED"}, {"color": "'RED' is none of red, dark_blue"}),
    "the zero value": ({"color": "VALUE_UNSPECIFIED"}, {"color": "none of"}),
    "no time zone": ({"moment": datetime(2026, 1, 1)}, {"moment": "time zone"}),
    "a text for a time": ({"moment": "2026-01-01"}, {"moment": "is no datetime"}),
    "a number for a duration": ({"wait": 3}, {"wait": "3 is no timedelta"}),
    "too long a duration": ({"wait": timedelta.max}, {"wait": "out of range"}),
    "a text for a list": ({"tags": "ab"}, {"tags": "'ab' is no list"}),
    "one bad item": ({"tags": ["a", 5, "b", None]}, {"tags[1]": "5 is no str", "tags[3]": "None is no str"}),
    "a list for a map": ({"weights": [1]}, {"weights": "[1] is no mapping"}),
    "a bad entry": ({"weights": {"a": "x"}}, {"weights[a]": "'x' is no float"}),
    "a bad key": ({"weights": {1: 1.0}}, {"weights[1]": "the key 1 is no str"}),
    "a field too many": ({"person": {"name": "A", "agee": 1}}, {"person.agee": "there are name, age, class"}),
    "deep inside": ({"people": [{"name": "A"}, {"age": "x"}]}, {"people[1].age": "'x' is no int"}),
    "no object": ({"person": "Ada"}, {"person": "'Ada' is no object"}),
    "a set in json": ({"anything": {"a": [{1}]}}, {"anything.a[0]": "set is no JSON value"}),
    "a number key in json": ({"anything": {1: 2}}, {"anything": "the key 1 is no text"}),
    "no number in json": ({"anything": [math.nan]}, {"anything[0]": "nan is no JSON number"}),
    "digits lost in json": ({"anything": 2**53 + 1}, {"anything": "2^53"}),
    "half a character": (
        {"text": "\ud800", "notes": {"\ud800": 1}},
        {"text": "surrogates", "notes[\ud800]": "surrogates"},
    ),
    "a number for a file": ({"page": 5}, {"page": "5 is no path, bytes, open file or File"}),
    "all at once": ({"text": 1, "count": "x", "tags": 3}, {"text": "str", "count": "int", "tags": "list"}),
}


@pytest.mark.parametrize(("inputs", "expected"), MISFITS.values(), ids=MISFITS.keys())
async def test_every_misfit_is_named_before_anything_is_sent(
    sample: Sample, inputs: dict[str, Any], expected: Mapping[str, str]
) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        await request_of(sample, **inputs)
    found = dict(caught.value.violations)
    assert found.keys() == expected.keys()
    assert all(expected[field] in found[field] for field in expected), found
    assert caught.value.reason == "INVALID_INPUT"


async def test_json_without_end_is_refused(sample: Sample) -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(InvalidArgumentError, match="an input does not fit"):
        await request_of(sample, anything=endless)


async def test_an_enum_value_younger_than_the_client_reads_as_its_number(sample: Sample) -> None:
    # Field 11 is `color`, field 17 `colors`; 9 is a value that this client does not know.
    output = sample.messages.EchoOutput.FromString(b"\x58\x09\x8a\x01\x02\x09\x01")
    decoded = Decoder().decode(output, sample.client.EchoOutput)
    assert (decoded.color, decoded.colors) == ("9", ("9", "red"))


def test_a_class_that_does_not_belong_to_the_message_says_so(sample: Sample) -> None:
    with pytest.raises(TypeError, match="run `promptflow generate`"):
        Decoder().decode(sample.messages.WordsOutput(), sample.client.EchoOutput)


class AsyncFile:
    """A file as aiofiles and anyio give it."""

    name = "/tmp/scan.jpg"

    async def read(self) -> bytes:
        return b"jpg"


async def test_files_are_read_and_named(sample: Sample, tmp_path: Path) -> None:
    path = tmp_path / "page.png"
    path.write_bytes(b"png")
    with path.open("rb") as opened:
        given = [path, str(path), opened, io.BytesIO(b"raw"), AsyncFile(), memoryview(b"view")]
        output = await round_trip(sample, pages=given)
    png = File(content=b"png", content_type="image/png", name="page.png")
    jpeg = File(content=b"jpg", content_type="image/jpeg", name="scan.jpg")
    assert output.pages == (png, png, png, File(content=b"raw"), jpeg, File(content=b"view"))


async def test_a_file_that_is_not_there_is_an_error_of_this_machine(sample: Sample, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await request_of(sample, page=tmp_path / "nothing.png")


async def test_a_file_opened_as_text_is_refused(sample: Sample, tmp_path: Path) -> None:
    path = tmp_path / "page.txt"
    path.write_text("text")
    with path.open() as opened, pytest.raises(TypeError, match="binary mode"):
        await request_of(sample, page=opened)


async def test_a_wrong_input_reads_no_file(sample: Sample, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError):
        await request_of(sample, page=tmp_path / "nothing.png", count="x")
