"""Native values survive their way through Redis."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptflow_core.values import FileRef, decode_value, encode_value

files = st.builds(FileRef, st.text(), st.text(), st.text(), st.integers(0, 2**63 - 1))
times = st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))
leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | files
    | times
    | st.timedeltas(timedelta(days=-9999), timedelta(days=9999))
)
native = st.recursive(leaves, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)


@given(native)
def test_what_is_written_is_read_back_with_its_type(value: Any) -> None:
    assert decode_value(encode_value(value)) == value


@pytest.mark.parametrize("value", [object(), {"a": {1, 2}}, [object()]])
def test_what_is_no_native_value_is_refused(value: Any) -> None:
    with pytest.raises(TypeError):
        encode_value(value)
