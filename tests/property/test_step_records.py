"""Laws of StepRecords: what a dict says, and no value ever changes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from promptflow_core.records import StepRecord
from promptflow_server.engine.step_records import StepRecords, StepWrites

TURNS = st.lists(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 9)), max_size=12), max_size=40)


@given(TURNS)
def test_records_say_what_a_dict_would_and_earlier_values_stay(turns: list[list[tuple[int, int]]]) -> None:
    model: dict[str, StepRecord] = {}
    records = StepRecords()
    history: list[tuple[StepRecords, dict[str, StepRecord]]] = []
    for turn in turns:
        writes = StepWrites(records)
        for path, attempt in turn:
            record = StepRecord(f"s/{path}", attempt=attempt)
            writes.write(record)
            model[record.path] = record
            assert writes[record.path] is record
            assert len(writes) == len(model)
        assert list(writes.items()) == list(model.items())
        assert {one.path for one in writes.written} == {f"s/{path}" for path, _ in turn}
        history.append((records, {path: records[path] for path in records}))
        records = writes.finished()
        assert list(records.items()) == list(model.items()), "in the order in which they were first written"
        assert len(records) == len(model)
        assert [records.get(f"s/{path}") for path in range(62)] == [model.get(f"s/{path}") for path in range(62)]
    for before, was in history:
        assert dict(before) == was


def test_a_small_write_copies_few_records_however_many_there_are() -> None:
    records, copied = StepRecords(), 0
    for turn in range(1_000):
        written = {f"s/{turn * 10 + place}": StepRecord("s") for place in range(10)}
        before = {id(layer) for layer in records.layers}
        records = records.with_written(written)
        copied += sum(len(layer) for layer in records.layers if id(layer) not in before)
    assert len(records) == 10_000
    assert copied < 10 * len(records)
    assert len(records.layers) <= 8
