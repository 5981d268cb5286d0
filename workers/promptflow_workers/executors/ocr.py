"""Text of a scanned page, by Tesseract."""

from __future__ import annotations

from promptflow_core.executor import BaseExecutor, ExecutionContext, ExecutionResult, ExecutorConfig, ExecutorOutput
from promptflow_core.modeling import Int32
from promptflow_core.values import FileRef
from pydantic import Field, InstanceOf


class OcrConfig(ExecutorConfig):
    """An image of one page."""

    document: InstanceOf[FileRef] = Field(description="PNG, JPEG, TIFF (its first page), WebP or BMP")
    language: str = Field("eng", description="Tesseract's names of the languages, joined by `+`")


class Box(ExecutorOutput):
    """Pixels of the upright image, from its top left corner; `right` and `bottom` are exclusive."""

    left: Int32
    top: Int32
    right: Int32
    bottom: Int32


class Word(ExecutorOutput):
    """One word, in reading order."""

    text: str
    confidence: float = Field(description="0 to 1")
    box: Box


class OcrOutput(ExecutorOutput):
    """What stands on the page; a blank page has the text "" and confidence 0."""

    text: str = Field(description="the page's text, its lines kept; a blank line between blocks")
    confidence: float = Field(description="mean over the words, 0 to 1")
    words: list[Word]


class Ocr(BaseExecutor[OcrConfig, OcrOutput]):
    """Read the text of a scanned page."""

    name = "ocr"
    queue = "ocr"
    Config = OcrConfig
    Output = OcrOutput

    async def execute(self, context: ExecutionContext, config: OcrConfig) -> ExecutionResult[OcrOutput]:
        raise NotImplementedError
