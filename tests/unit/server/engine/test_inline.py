"""Executors inside the server: what they do wrong is a record that can be stored."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import msgspec
import pytest

from promptflow_core.errors import ErrorRecord, FlowError, Reason
from promptflow_core.executor import BaseExecutor, ExecutionContext, ExecutionResult, ExecutorConfig, ExecutorOutput
from promptflow_core.records import Call
from promptflow_core.registry import ExecutorRegistry
from promptflow_core.values import encode_value
from promptflow_server.engine.inline import InlineExecutors
from promptflow_server.engine.transitions import CallProgressed
from promptflow_workers.dispatch.blobs import BlobStore

BYTES_OF_A_NAME = "scan-\udce9.png"


class Order(ExecutorConfig):
    do: str


class Report(ExecutorOutput):
    text: str


class Inline(BaseExecutor[Order, Report]):
    """Does what its config says."""

    name = "inline"
    Config, Output = Order, Report

    async def execute(self, context: ExecutionContext, config: Order) -> ExecutionResult[Report]:
        match config.do:
            case "raise":
                raise OSError(f"cannot open {BYTES_OF_A_NAME}")
            case "refuse":
                raise FlowError(Reason.FILE_UNREADABLE, BYTES_OF_A_NAME, metadata={"file": BYTES_OF_A_NAME})
            case "cancel":
                raise asyncio.CancelledError
            case _:
                await context.emit_progress(50, BYTES_OF_A_NAME)
                return ExecutionResult(Report(text="done"))


@pytest.fixture
async def inline(tmp_path: Path) -> AsyncIterator[InlineExecutors]:
    executors = InlineExecutors(ExecutorRegistry([Inline]), BlobStore(tmp_path), Random(1))
    yield executors
    await executors.close()


def call(do: str) -> Call:
    return Call("x/step/-/1", "inline", "x", "step", None, 1, encode_value({"do": do}))


@pytest.mark.parametrize(
    ("do", "expected"),
    [
        ("raise", ErrorRecord(Reason.EXECUTOR_FAILED, "OSError: cannot open scan-?.png")),
        ("refuse", ErrorRecord(Reason.FILE_UNREADABLE, "scan-?.png", {"file": "scan-?.png"})),
        ("cancel", ErrorRecord(Reason.EXECUTOR_FAILED, "RuntimeError: the executor cancelled its own call")),
    ],
)
async def test_every_failure_is_a_record_that_can_be_stored(
    inline: InlineExecutors, do: str, expected: ErrorRecord
) -> None:
    answer = await inline.run(call(do), lambda _: None)
    assert answer == expected
    assert msgspec.msgpack.encode(answer)


async def test_progress_can_be_sent_whatever_it_says(inline: InlineExecutors) -> None:
    told: list[CallProgressed] = []
    assert isinstance(await inline.run(call("work"), told.append), bytes)
    assert told == [CallProgressed("x/step/-/1", 50, "scan-?.png")]
