from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptflow_core.errors import FlowError, Reason
from promptflow_server.services.http_face.json_text import MAX_DEPTH, parse_json

MISTAKES = {
    "nothing closes it": (b'{"a": 1', "line 1, column 8"),
    "a comma too many": (b'{"a": 1,}', "line 1, column 9"),
    "two documents": (b"{} {}", "line 1, column 4"),
    "single quotes": (b"{'a': 1}", "line 1, column 2"),
    "on a later line": (b'{\n  "a": 1,\n  "b" 2\n}', "line 3, column 7"),
    "a key twice": (b'{"a": 1, "b": 2, "a": 3}', "line 1, column 18: key `a` occurs twice"),
    "a key twice, once escaped": (b'{"a": 1, "\\u0061": 3}', "line 1, column 10: key `a` occurs twice"),
    "a key twice inside": (b'{"a": 1, "b": [{"a": 1}, {"c": 1, "c": 2}]}', "line 1, column 35: key `c` occurs twice"),
    "NaN": (b'{"a": NaN}', "line 1, column 7: NaN is no JSON"),
    "Infinity": (b'{"a": [1, -Infinity]}', "line 1, column 11: -Infinity is no JSON"),
    "no double holds it": (b'{"a": 1e999}', "line 1, column 7: the number is out of range"),
    "too many digits": (b'{"a": ' + b"9" * 5000 + b"}", "line 1, column 7: the number has too many digits"),
    "deep lists": (b"[" * 100_000, "deeper than"),
    "deep objects": (b'{"a":' * 50 + b"1" + b"}" * 50, f"line 1, column {MAX_DEPTH * 5 + 1}: nested deeper than"),
    "half a surrogate pair": (b'{"a": "x\\ud800"}', "line 1, column 7: half of a surrogate pair"),
    "half a surrogate pair as key": (b'{"\\udc00": 1}', "line 1, column 2: half of a surrogate pair"),
    "a control character": (b'{"a": "\x01"}', "line 1, column 8"),
    "Latin-1": (b'{"a": "\xe9"}', "no UTF-8 at byte 7"),
    "UTF-16": ('{"a": 1}'.encode("utf-16"), "no UTF-8 at byte 0"),
}


@pytest.mark.parametrize(("data", "told"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_malformed_body_is_told_with_its_position(data: bytes, told: str) -> None:
    with pytest.raises(FlowError) as caught:
        parse_json(data)
    assert caught.value.record.reason is Reason.MALFORMED_REQUEST
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"{}", {}),
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
        (b'{"a": "NaN [[[[ \\" {"}', {"a": 'NaN [[[[ " {'}),
        (b'{"a": "\\ud83d\\ude00"}', {"a": "😀"}),
        (b'{"a": {"x": 1}, "b": {"x": 2}}', {"a": {"x": 1}, "b": {"x": 2}}),
        (b"[" * MAX_DEPTH + b"]" * MAX_DEPTH, None),
        (b'{"a": [' + b"[]," * 100 + b"[]]}", {"a": [[]] * 101}),
        (b'{"a": 123456789012345678901234567890}', {"a": 123456789012345678901234567890}),
    ],
)
def test_what_is_json_is_read(data: bytes, expected: object) -> None:
    found = parse_json(data)
    assert expected is None or found == expected


JSONISH = st.lists(
    st.sampled_from([*'{}[]:,"\\ \n', "1", "-", "e9", "null", "NaN", '"a"', '"a":', "\\u", "d800", "é"]),
    max_size=40,
).map(lambda pieces: "".join(pieces).encode())


@settings(max_examples=500)
@given(data=st.one_of(st.binary(max_size=30), JSONISH))
def test_whatever_comes_is_read_or_refused(data: bytes) -> None:
    try:
        document = parse_json(data)
    except FlowError as error:
        assert error.record.reason is Reason.MALFORMED_REQUEST
    else:
        assert json.loads(data.decode("utf-8-sig")) == document
