"""Files as people send them: `curl -F`, base64 in JSON, and what is no page at all."""

from __future__ import annotations

import base64
from pathlib import Path

import httpx
import pytest
from tests.e2e.system import ROOT, System

pytestmark = [pytest.mark.processes, pytest.mark.timeout(60)]

LETTER = ROOT / "samples" / "letter.jpg"


def violations(answer: httpx.Response) -> dict[str, str]:
    """Field violations of an error answer."""
    details = answer.json()["details"]
    found = [detail["field_violations"] for detail in details if "field_violations" in detail]
    return {violation["field"]: violation["description"] for violation in found[0]}


def reason(answer: httpx.Response) -> str:
    """The reason of an error answer."""
    return str(next(detail["reason"] for detail in answer.json()["details"] if "reason" in detail))


def post_file(system: System, content: bytes, name: str = "page.jpg") -> httpx.Response:
    """What `curl -F document=@page.jpg -F execution_mode=SYNC` sends."""
    return httpx.post(
        f"{system.http}/api/v1/document-insight/execute",
        files={"document": (name, content, "image/jpeg")},
        data={"execution_mode": "SYNC"},
        timeout=50,
    )


def check_insight(execution: dict[str, object]) -> None:
    """The letter praises the desk and complains of the chair."""
    assert execution["status"] == "COMPLETED", execution
    result = execution["result"]
    assert isinstance(result, dict)
    labels = {sentence["text"]: sentence["label"] for sentence in result["sentences"]}
    assert [label for text, label in labels.items() if text.startswith("The desk is wonderful")] == ["positive"]
    assert [label for text, label in labels.items() if text.endswith("is a disaster.")] == ["negative"]
    assert result["mood"] == "mixed"
    assert result["mean_confidence"] > 0.8


def test_a_page_by_multipart_is_read_and_judged(system: System) -> None:
    answer = post_file(system, LETTER.read_bytes())
    assert answer.status_code == 200, answer.text
    check_insight(answer.json())


def test_a_page_as_base64_in_json_gives_the_same(system: System) -> None:
    document = {"content": base64.b64encode(LETTER.read_bytes()).decode(), "name": "letter.jpg"}
    body = {"document": document, "execution_mode": "SYNC"}
    answer = httpx.post(f"{system.http}/api/v1/document-insight/execute", json=body, timeout=50)
    assert answer.status_code == 200, answer.text
    check_insight(answer.json())


BAD_FILES = {
    "empty": (b"", "INVALID_INPUT"),
    "text": (b"this is no page", "FILE_UNREADABLE"),
    "truncated": (LETTER.read_bytes()[:2000], "FILE_UNREADABLE"),
    "large": (b"x" * (33 << 20), "FILE_TOO_LARGE"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_what_is_no_page_is_refused_with_a_reason(system: System, name: str, tmp_path: Path) -> None:
    content, expected = BAD_FILES[name]
    answer = post_file(system, content)
    assert 400 <= answer.status_code < 500, answer.text
    assert reason(answer) == expected, answer.text
    if expected == "INVALID_INPUT":
        assert list(violations(answer)) == ["document"]


def test_a_refused_file_leaves_nothing_in_the_store(system: System) -> None:
    store = system.project / ".promptflow" / "files"
    before = sorted(store.rglob("*"))
    assert post_file(system, b"x" * (33 << 20)).status_code >= 400
    assert sorted(store.rglob("*")) == before


def test_unknown_missing_and_doubled_parts_are_told_at_once(system: System) -> None:
    answer = httpx.post(
        f"{system.http}/api/v1/document-insight/execute", files={"documnt": ("a", b"x")}, data={"zz": "1"}, timeout=10
    )
    assert answer.status_code == 400
    assert set(violations(answer)) == {"document", "documnt", "zz"}
    assert "document" in violations(answer)["documnt"], "no suggestion"
