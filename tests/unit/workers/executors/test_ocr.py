"""Ocr, with the real Tesseract and the page that ships."""

from __future__ import annotations

import io
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from PIL import Image
from pydantic import ValidationError

from promptflow_core.errors import FlowError, Reason
from promptflow_core.executor import ExecutionContext
from promptflow_core.modeling import to_native
from promptflow_core.values import FileRef, decode_value, encode_value
from promptflow_workers.executors.ocr import Ocr, OcrConfig

SAMPLES = Path(__file__).parents[4] / "samples"


@pytest.fixture
async def ocr() -> AsyncIterator[Ocr]:
    executor = Ocr()
    await executor.start()
    yield executor
    await executor.close()


def config_of(path: Path, name: str = "page") -> OcrConfig:
    return OcrConfig(document=FileRef(str(path), name=name))


def edit_distance(left: str, right: str) -> int:
    """Levenshtein: the definition, a row at a time."""
    row = list(range(len(right) + 1))
    for i, a in enumerate(left, 1):
        before, row[0] = row[0], i
        for j, b in enumerate(right, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (a != b))
    return row[-1]


async def test_the_letter_is_read_with_lines_and_paragraphs(ocr: Ocr, context: ExecutionContext) -> None:
    truth = (SAMPLES / "letter.txt").read_text("utf-8").strip()
    output = (await ocr.execute(context, config_of(SAMPLES / "letter.jpg"))).output
    assert 1 - edit_distance(truth, output.text) / len(truth) >= 0.98
    assert output.text.split("\n\n") == truth.split("\n\n")
    assert output.confidence > 0.9


async def test_words_come_in_reading_order_with_boxes_on_the_page(ocr: Ocr, context: ExecutionContext) -> None:
    output = (await ocr.execute(context, config_of(SAMPLES / "letter.jpg"))).output
    with Image.open(SAMPLES / "letter.jpg") as page:
        width, height = page.size
    assert [word.text for word in output.words] == output.text.split()
    for word in output.words:
        assert 0 <= word.box.left < word.box.right <= width
        assert 0 <= word.box.top < word.box.bottom <= height
        assert 0 <= word.confidence <= 1
    mean = sum(word.confidence for word in output.words) / len(output.words)
    assert output.confidence == pytest.approx(mean)


async def test_the_output_travels_as_a_native_value(ocr: Ocr, context: ExecutionContext) -> None:
    output = (await ocr.execute(context, config_of(SAMPLES / "letter.jpg"))).output
    native = to_native(output)
    assert decode_value(encode_value(native)) == native


async def test_a_blank_page_is_empty_text_without_confidence(
    ocr: Ocr, context: ExecutionContext, tmp_path: Path
) -> None:
    Image.new("L", (1240, 1754), 255).save(tmp_path / "blank.png")
    output = (await ocr.execute(context, config_of(tmp_path / "blank.png"))).output
    assert (output.text, output.confidence, output.words) == ("", 0.0, [])


async def test_a_text_file_is_refused_by_its_name_and_kind(ocr: Ocr, context: ExecutionContext, tmp_path: Path) -> None:
    (tmp_path / "blob").write_text("Dear Ms Hartwell,")
    with pytest.raises(FlowError, match=r"`notes\.png` is text, no image that can be read; send a PNG, JPEG") as caught:
        await ocr.execute(context, config_of(tmp_path / "blob", name="notes.png"))
    assert caught.value.record.reason is Reason.FILE_UNREADABLE


async def test_a_language_that_is_not_there_is_a_mistake_of_the_flow(ocr: Ocr, context: ExecutionContext) -> None:
    config = OcrConfig(document=FileRef(str(SAMPLES / "letter.jpg")), language="../eng")
    with pytest.raises(FlowError, match="not installed; there are eng") as caught:
        await ocr.execute(context, config)
    assert caught.value.record.reason is Reason.CONFIG_INVALID


async def test_a_page_after_its_deadline_is_not_begun(ocr: Ocr, new_context: Callable[..., ExecutionContext]) -> None:
    with pytest.raises(FlowError) as caught:
        await ocr.execute(new_context(deadline_at=time.time() - 1), config_of(SAMPLES / "letter.jpg"))
    assert caught.value.record.reason is Reason.STEP_TIMEOUT


async def test_a_call_before_start_says_so(context: ExecutionContext) -> None:
    with pytest.raises(FlowError, match="call `start` first") as caught:
        await Ocr().execute(context, config_of(SAMPLES / "letter.jpg"))
    assert caught.value.record.reason is Reason.MODEL_UNAVAILABLE


def test_a_document_cannot_be_forged_from_a_mapping() -> None:
    with pytest.raises(ValidationError):
        OcrConfig.model_validate({"document": {"file_id": "other-run/secret"}})


async def test_a_page_turned_by_exif_is_read_upright(ocr: Ocr, context: ExecutionContext, tmp_path: Path) -> None:
    with Image.open(SAMPLES / "letter.jpg") as page:
        turned = page.transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6
    data = io.BytesIO()
    turned.save(data, "JPEG", quality=90, exif=exif)
    (tmp_path / "photo.jpg").write_bytes(data.getvalue())
    output = (await ocr.execute(context, config_of(tmp_path / "photo.jpg"))).output
    assert output.text.startswith("Daniel Whitlock\n14 Orchard Lane")
