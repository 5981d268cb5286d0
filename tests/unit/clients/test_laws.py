"""Laws that hold for any stream and any text."""

from __future__ import annotations

import ast
import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.clients.sample import PACKAGE, sample_plan

from promptflow_client import InternalError, PromptFlowError, RetryPolicy, UnavailableError
from promptflow_client.following import Cursor, follow
from promptflow_client.retry import Attempts, Clock
from promptflow_codegen.emit.python_client import emit_clients

RUN = "run"


@dataclass(frozen=True, slots=True)
class Message:
    """As much of an `Event` as following looks at."""

    execution_id: str
    sequence: int
    kind: str

    def WhichOneof(self, name: str) -> str:  # noqa: N802
        assert name == "event"
        return self.kind


@dataclass(frozen=True, slots=True)
class Stream:
    """One stream of a flaky server: how far it goes back, how much it gives, how it ends."""

    repeats: int
    length: int
    heartbeats: bool
    ending: PromptFlowError | None


STREAMS = st.lists(
    st.builds(
        Stream,
        st.integers(0, 4),
        st.integers(0, 5),
        st.booleans(),
        st.sampled_from([None, UnavailableError("cut"), InternalError("reset")]),
    ),
    max_size=12,
)


async def instantly(delay_s: float) -> None:
    """Sleep no time at all."""


async def followed(log: list[Message], streams: list[Stream], after: int) -> list[int]:
    """The stored sequences that a reader of such a server sees."""
    left = iter(streams)

    async def open_at(cursor: Cursor, timeout_s: float | None) -> AsyncGenerator[Any, None]:
        stream = next(left, Stream(0, len(log), heartbeats=False, ending=None))
        first = max(0, cursor.sequence - stream.repeats)
        given = log[first : first + stream.length]
        for message in given:
            if stream.heartbeats:
                yield Message(RUN, 0, "heartbeat")
            yield message
        # An unexplained INTERNAL at the very start is the server's word, and ends it all.
        if given and stream.ending is not None:
            raise stream.ending

    attempts = Attempts(RetryPolicy(patience_s=1e9), Clock(sleep=instantly))
    return [message.sequence async for message in follow(open_at, Cursor(RUN, after), attempts) if message.sequence]


@given(st.integers(1, 12), STREAMS, st.data())
@settings(deadline=None)
def test_any_cuts_and_repeats_give_each_event_once_and_done_last(
    length: int, streams: list[Stream], data: st.DataObject
) -> None:
    after = data.draw(st.integers(0, length - 1))
    log = [Message(RUN, number, "done" if number == length else "step_started") for number in range(1, length + 1)]
    assert asyncio.run(followed(log, streams, after)) == list(range(after + 1, length + 1))


@given(st.text(max_size=300))
@settings(deadline=None, max_examples=200)
def test_any_description_is_told_and_breaks_nothing(text: str) -> None:
    plan = replace(sample_plan(), description=text)
    files = emit_clients([plan])
    module = ast.parse(files[f"{PACKAGE.replace('.', '/')}/client.py"])
    ast.parse(files["sample_api/client.py"])
    (client,) = [node for node in module.body if isinstance(node, ast.ClassDef) and node.name == "SampleClient"]
    told = ast.get_docstring(client, clean=False)
    assert told is not None
    expected = " ".join(text.split()) or "Flow `sample`, version 1."
    assert "".join(told.split()) == "".join(expected.split())
