"""A page reader: a child process that reads one page after the other, from stdin to stdout.

It ends when its parent does. A timer of the kernel ends it when a page takes too long, wherever it then is.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
from pathlib import Path
from typing import BinaryIO

from promptflow_core.errors import FlowError, Reason
from promptflow_workers.models.ocr.image import read_page
from promptflow_workers.models.ocr.messages import (
    LENGTH_BYTES,
    Page,
    ReadPage,
    Ready,
    Refused,
    decode_request,
    encode,
)
from promptflow_workers.models.ocr.tesseract import Tesseract

MAX_MEMORY_BYTES = 4 << 30


def serve(requests: BinaryIO, replies: BinaryIO) -> None:
    """Answer requests until they end."""
    try:
        engine = Tesseract()
    except (FlowError, RuntimeError) as error:
        _send(replies, Refused(Reason.MODEL_UNAVAILABLE, f"Tesseract does not start: {error}"))
        return
    _send(replies, Ready())
    while length := requests.read(LENGTH_BYTES):
        request = decode_request(requests.read(int.from_bytes(length, "big")))
        # The default action of SIGALRM ends the process, in the middle of a C++ loop too.
        signal.setitimer(signal.ITIMER_REAL, request.limit_s)
        reply = _answer(engine, request)
        signal.setitimer(signal.ITIMER_REAL, 0)
        _send(replies, reply)
    engine.close()


def main() -> None:
    """Serve the parent process."""
    # Signals to the whole group of processes reach readers too; the parent decides when they end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _silence_libraries()
    serve(sys.stdin.buffer, sys.stdout.buffer)


def _answer(engine: Tesseract, request: ReadPage) -> Page | Refused:
    started = time.monotonic()
    try:
        engine.use(request.language)
        page = read_page(Path(request.path), request.name)
        return engine.read(page, lambda: request.limit_s - (time.monotonic() - started))
    except FlowError as error:
        return Refused(error.record.reason, error.record.message)


def _send(replies: BinaryIO, message: Ready | Page | Refused) -> None:
    replies.write(encode(message))
    replies.flush()


def _silence_libraries() -> None:
    """Leptonica writes a line for each odd shape; Python's own errors are still seen."""
    sys.stderr = os.fdopen(os.dup(2), "w")
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 2)
    os.close(nothing)


if __name__ == "__main__":
    main()
