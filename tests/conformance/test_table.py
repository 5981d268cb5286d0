"""The table itself: well-formed, about flows that exist, and judged as it says."""

from __future__ import annotations

import typing
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.conformance import http_runner, python_runner
from tests.conformance.matching import differences
from tests.conformance.table import ROOT, Call, Case, Expected, ExpectedError, Outcome, load_cases

FLOWS = [*(ROOT / "flows").glob("*.yaml"), *(ROOT / "tests/e2e/project/flows").glob("*.yaml")]
CASES = load_cases()


def inputs_of(flow: str) -> set[str]:
    """The inputs that a flow's file declares."""
    path = next(path for path in FLOWS if path.stem == flow)
    return {field["name"] for field in yaml.safe_load(path.read_text("utf-8")).get("inputs", [])}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_a_case_is_about_a_flow_that_exists(case: Case) -> None:
    known = inputs_of(case.flow)
    if "python" in case.transports:
        assert {name for inputs in (case.inputs, *case.batch) for name in inputs} <= known


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_a_case_expects_what_its_call_gives(case: Case) -> None:
    assert all(expected.result is None or expected.error is None for expected in (case, *case.outcomes))
    assert not case.execution_id or case.call in ("status", "cancel", "watch")
    assert case.steps is None or case.call in ("stream", "status", "cancel", "watch")
    assert bool(case.batch) == bool(case.outcomes) == (case.call == "batch")
    assert len(case.batch) == len(case.outcomes)
    assert "multipart" not in case.transports or case.call == "run"
    assert not case.read_mask or case.call not in ("plan", "cancel", "executions", "flows")


@pytest.mark.parametrize("call", typing.get_args(Call))
def test_every_call_has_a_case_for_every_client(call: str) -> None:
    assert {"http", "python", "go", "ts"} <= {name for case in CASES if case.call == call for name in case.transports}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_the_inputs_of_a_case_can_be_sent(case: Case) -> None:
    for value in (value for inputs in (case.inputs, *case.batch) for value in inputs.values()):
        assert "$" not in str(http_runner.json_of(value))
        assert "$" not in str(python_runner.native_of(value))


def test_every_shipped_flow_has_cases() -> None:
    shipped = {path.stem for path in (ROOT / "flows").glob("*.yaml")}
    assert shipped <= {case.flow for case in CASES}


def case_of(**fields: Any) -> Case:
    """A case that expects something."""
    return Case(flow="f", name="n", **fields)


RIGHT: dict[str, tuple[Any, Any]] = {
    "a subset": ({"a": 1}, {"a": 1, "b": 2}),
    "a 64-bit integer as text": ({"a": 2**60}, {"a": str(2**60)}),
    "nearly equal": ({"a": 0.1}, {"a": 0.1 + 1e-9}),
    "absent": ({"a": None}, {}),
    "bounds": ({"a": {"$min": 1, "$max": 2}}, {"a": 1.5}),
    "a part": ({"a": {"$contains": "b"}}, {"a": "abc"}),
    "one moment in two zones": ({"a": {"$timestamp": "2026-01-01T00:00:00Z"}}, {"a": "2026-01-01T01:00:00+01:00"}),
    "one duration in two spellings": ({"a": {"$duration": "1.5s"}}, {"a": "1.500s"}),
}
WRONG: dict[str, tuple[Any, Any]] = {
    "another value": ({"a": 1}, {"a": 2}),
    "another type": ({"a": "1"}, {"a": 1}),
    "a number for a truth": ({"a": True}, {"a": 1}),
    "a truth for a number": ({"a": 1}, {"a": True}),
    "present": ({"a": None}, {"a": 0}),
    "missing": ({"a": 0}, {}),
    "a shorter list": ({"a": [1, 2]}, {"a": [1]}),
    "out of bounds": ({"a": {"$min": 1, "$max": 2}}, {"a": 2.5}),
    "no result": ({"a": 1}, None),
    "any, but nothing is there": ({"a": {"$any": True}}, {}),
    "another moment": ({"a": {"$timestamp": "2026-01-01T00:00:00Z"}}, {"a": "2026-01-01T00:00:00+01:00"}),
}


@pytest.mark.parametrize(("expected", "found"), RIGHT.values(), ids=RIGHT.keys())
def test_a_right_result_is_right(expected: Any, found: Any) -> None:
    assert differences(case_of(result=expected), Outcome(result=found)) == []


@pytest.mark.parametrize(("expected", "found"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_result_is_wrong(expected: Any, found: Any) -> None:
    assert len(differences(case_of(result=expected), Outcome(result=found))) == 1


def test_an_error_is_judged_by_status_reason_and_every_violation() -> None:
    case = case_of(error=ExpectedError(status="NOT_FOUND", reason="R", violations={"a": "short"}))
    right = Outcome(status="NOT_FOUND", reason="R", violations={"a": "too short"})
    assert differences(case, right) == []
    wrong = [
        Outcome(result={}),
        Outcome(status="NOT_FOUND", reason="S", violations={"a": "too short"}),
        Outcome(status="NOT_FOUND", reason="R", violations={"a": "too long"}),
        Outcome(status="NOT_FOUND", reason="R", violations={"a": "too short", "b": "too"}),
    ]
    assert all(differences(case, outcome) for outcome in wrong)
    assert differences(case_of(result={}), right)


def test_the_step_of_an_error_is_judged_where_a_case_names_one() -> None:
    case = case_of(error=ExpectedError(status="INTERNAL", reason="R", step="ocr"))
    assert differences(case, Outcome(status="INTERNAL", reason="R", step="ocr")) == []
    assert differences(case, Outcome(status="INTERNAL", reason="R")) == ["it failed in step '', not 'ocr'"]


def test_each_outcome_of_a_batch_is_judged_in_its_place() -> None:
    failure = Expected(error=ExpectedError(status="NOT_FOUND", reason="R"))
    case = case_of(call="batch", outcomes=(Expected(result={"a": 1}), failure))
    good, bad = Outcome(result={"a": 1}), Outcome(status="NOT_FOUND", reason="R")
    assert differences(case, Outcome(outcomes=(good, bad))) == []
    assert len(differences(case, Outcome(outcomes=(bad, good)))) == 2
    assert differences(case, Outcome(outcomes=(good,))) == ["there are 1 outcomes, not 2"]
    assert differences(case, Outcome()) == ["there are 0 outcomes, not 2"]


def test_a_file_with_a_mistake_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("flow: a\ncases:\n- {name: x, resutl: {}}\n")
    with pytest.raises(ValueError, match="resutl"):
        load_cases(tmp_path)
    (tmp_path / "a.yaml").write_text("flow: a\ncases:\n- {name: x}\n- {name: x}\n")
    with pytest.raises(ValueError, match="two cases are called x"):
        load_cases(tmp_path)
