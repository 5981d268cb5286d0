"""The events of a run in one piece: gap-free, without repeats, up to `done`, however often the stream is cut."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass

from promptflow_client.connection import MessageT, is_cut
from promptflow_client.errors import PromptFlowError, UnavailableError
from promptflow_client.retry import Attempts


@dataclass(slots=True)
class Cursor:
    """How far a reader is: the run, "" until the first event names it, and the last sequence seen."""

    execution_id: str = ""
    sequence: int = 0


Open = Callable[[Cursor, float | None], AsyncGenerator[MessageT, None]]


async def follow(open_at: Open, cursor: Cursor, attempts: Attempts) -> AsyncGenerator[MessageT, None]:
    """Give each event after the cursor once, `done` last; `open_at` is asked for a stream whenever there is none.

    `open_at` starts the run as long as the cursor names none: with the same request id each time, so that a cut
    before the first event starts nothing twice.

    Raises:
        PromptFlowError: the server's answer, or the last cut when patience or deadline is over.
    """
    while True:
        try:
            async with aclosing(open_at(cursor, attempts.remaining_s)) as messages:
                async for message in messages:
                    is_last = message.WhichOneof("event") == "done"
                    if not is_last and 0 < message.sequence <= cursor.sequence:
                        continue
                    cursor.execution_id = message.execution_id
                    cursor.sequence = max(cursor.sequence, message.sequence)
                    attempts.progressed()
                    yield message
                    if is_last:
                        return
            error: PromptFlowError = UnavailableError("the stream ended before the run did")
        except PromptFlowError as failure:
            error = failure
        if cursor.execution_id:
            error.metadata.setdefault("execution_id", cursor.execution_id)
        if not is_cut(error, is_known=bool(cursor.execution_id)):
            raise error
        await attempts.wait(error)
